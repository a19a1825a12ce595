"""A small convolutional network with batch norm on MNIST."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S", "drop": 0.2},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=6, batch=128, lr=5e-3, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 2),),
    ema=0.998,
    claim=Claim(published=0.992, source="LeCun et al. 1998: LeNet-5 with distortions, 0.8 % error"),
)
