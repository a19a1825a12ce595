"""A convolutional network on CIFAR-10."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S", "drop": 0.2},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=60, batch=128, lr=4e-3, weight_decay=0.05, schedule="onecycle", label_smoothing=0.1,
    augment=("flip", ("pad_crop", 4), ("cutout", 8)),
    ema=0.999,
    claim=Claim(published=0.9401, source="Jordan 2024 (arXiv:2404.00498): airbench94, a wider network"),
)
