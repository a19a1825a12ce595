"""A small convolutional network on the embedded 8x8 digits."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S", "drop": 0.3},
    data="digits",
    epochs=40, batch=64, lr=4e-3, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
