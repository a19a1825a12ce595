"""ResNet-8 on CIFAR-10, the size of MLPerf Tiny's image classification, for two cores and 70 minutes."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "8"},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=60, batch=128, optimizer="muon", lr=0.05, schedule="onecycle", weight_decay=0.1,
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998, precision="mixed_bfloat16",
    claim=Claim(published=0.85, source="MLPerf Tiny (Banbury et al. 2021, arXiv:2106.07597): the quality that the "
                                       "closed division asks of its ResNet-8, on the original images"),
)
