"""ResNet-20 on MNIST, its stem at half resolution so that two cores suffice."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "20", "stem_stride": 2},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=6, batch=128, lr=5e-3, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 2),),
    ema=0.998,
    claim=Claim(source="no published number for this network on MNIST"),
)
