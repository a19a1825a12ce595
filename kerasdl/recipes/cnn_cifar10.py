"""A wide, shallow convolutional network on CIFAR-10, after Jordan 2024 (arXiv:2404.00498)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "airbench", "whitened": True},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=15, batch=1024, optimizer="muon", momentum=0.6, lr=0.06, weight_decay=0.5, schedule="onecycle",
    label_smoothing=0.2,
    augment=("alternating_flip", ("pad_crop", 2), ("cutout", 8)),
    tta="flip",
    claim=Claim(published=0.9401, source="Jordan 2024 (arXiv:2404.00498): airbench94, test-time flips and shifts"),
)
