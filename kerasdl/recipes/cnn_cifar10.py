"""airbench95's network on CIFAR-10 (Jordan 2024, arXiv:2404.00498), for two cores and 45 minutes."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "airbench95", "whitened": True},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=21, batch=1024, optimizer="muon", optimizer_args={"momentum": 0.6, "kernel_rms": 0.05, "ns_steps": 3},
    lr=0.06, weight_decay=0.5,  # the decay is the head's
    schedule="onecycle", warmup="5%", objective_args={"label_smoothing": 0.2},
    augment=("alternating_flip", ("pad_crop", 3)),
    tta="flip_shift",
    precision="mixed_bfloat16",
    claim=Claim(published=0.9501, source="Jordan 2024 (arXiv:2404.00498): airbench95, test-time flips and shifts"),
)
