"""A residual MLP on the embedded 8x8 digits."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="residual_mlp", model_args={"size": "M", "drop": 0.3},
    data="digits",
    epochs=60, batch=64, lr=2e-3, jit=True, weight_decay=0.05,
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
