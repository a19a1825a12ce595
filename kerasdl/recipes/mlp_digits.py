"""Two hidden layers on the embedded 8x8 digits."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="mlp", model_args={"size": "512-512", "drop": 0.3},
    data="digits",
    epochs=60, batch=64, lr=2e-3, jit=True, weight_decay=0.05,
    augment=(("translate", 1),),  # strokes that touch the edge of an 8x8 image are what an MLP mistakes
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
