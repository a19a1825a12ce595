"""ResNet-20 on CIFAR-10, as He et al. trained it."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "20"},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=182, batch=128,  # 64,000 steps
    optimizer="sgd", lr=0.1, schedule="step",
    weight_decay=1e-3,  # the paper's 1e-4 goes through the momentum of 0.9; ours is decoupled and does not
    augment=("flip", ("pad_crop", 4)),
    claim=Claim(published=0.9125, source="He et al. 2015 (arXiv:1512.03385), table 6: 8.75 % error"),
)
