"""A small MobileNetV2 on the embedded 8x8 digits, resized to 16x16."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="mobilenet", model_args={"size": "mu"},
    data="digits", data_args={"image_size": 16},
    epochs=60, batch=64, lr=3e-2, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
