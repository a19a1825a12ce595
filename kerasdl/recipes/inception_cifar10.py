"""A small Inception on CIFAR-10, that of Zhang et al. 2017 (arXiv:1611.03530), for two cores and 45 minutes."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="inception", model_args={"size": "cifar"},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=10, batch=256, optimizer="muon", optimizer_args={"momentum": 0.6, "kernel_rms": 0.05, "ns_steps": 3},
    lr=0.04, weight_decay=0.5,  # the decay is the head's
    schedule="onecycle", warmup="5%", objective_args={"label_smoothing": 0.2},
    augment=("alternating_flip", ("pad_crop", 4)),
    tta="flip_shift",
    precision="mixed_bfloat16",
    claim=Claim(published=0.8905, source="Zhang et al. 2017 (arXiv:1611.03530), table 1: with crops and weight decay"),
)
