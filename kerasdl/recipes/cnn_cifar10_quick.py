"""airbench's narrower network on CIFAR-10 (Jordan 2024, arXiv:2404.00498), for two cores and twelve minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "airbench", "whitened": True},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=13, batch=1024, optimizer="muon", optimizer_args={"momentum": 0.6}, lr=0.06, weight_decay=0.5,
    schedule="onecycle", objective_args={"label_smoothing": 0.2},
    augment=("alternating_flip", ("pad_crop", 2)),
    tta="flip_shift",
    precision="mixed_bfloat16",
)
