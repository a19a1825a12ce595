"""A CNN fills holes of the embedded 8x8 digits, without labels: a body to start a classifier from."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S"}, objective="reconstruct",
    objective_args={"corruption": "block", "share": 0.25},
    data="digits",
    epochs=24, batch=64, lr=4e-3, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 1),),
    ema=0.99,
)
