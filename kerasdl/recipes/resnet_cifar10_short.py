"""ResNet-20 on CIFAR-10, for two cores and less than an hour; resnet_cifar10 is as long as the paper's."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "20"},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=24, batch=128, optimizer="muon", lr=0.05, schedule="onecycle", weight_decay=0.1,
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998,
    claim=Claim(published=0.9125, source="He et al. 2015 (arXiv:1512.03385), table 6: 8.75 % error in 182 epochs"),
)
