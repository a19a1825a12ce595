"""ResNet-20 with a U-Net's decoder colours CIFAR-10's images from grey, without labels, for two cores, 45 minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "20"}, objective="reconstruct",
    objective_args={"corruption": "grey", "width": 24},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=20, batch=128, lr=2e-3, schedule="onecycle", weight_decay=0.01,
    augment=("alternating_flip",),
    ema=0.998,
)
