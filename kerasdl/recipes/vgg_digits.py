"""A small VGG with batch normalisation on the embedded 8x8 digits."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vgg", model_args={"size": "mu", "norm": True},
    data="digits",
    epochs=60, batch=64, lr=3e-2, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
