"""A third of cnn_cifar10's network on CIFAR-10, for two cores and minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "M", "whitened": True},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=7, batch=512, optimizer="muon", lr=0.04, weight_decay=0.2, schedule="onecycle", label_smoothing=0.2,
    augment=("alternating_flip", ("pad_crop", 2)),
    ema=0.99, tta="flip",
)
