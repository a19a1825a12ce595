"""Softmax regression on the embedded 8x8 digits."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="linear",
    data="digits",
    epochs=60, batch=64, lr=2e-2, jit=True,
    weight_decay=1e-2,
    claim=Claim(source="no published number for this split"),
)
