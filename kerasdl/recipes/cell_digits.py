"""Cells of NAS-Bench-201 on the embedded 8x8 digits, with the graph of a residual block."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cell", model_args={"size": "S"},
    data="digits",
    epochs=30, batch=64, lr=4e-3, weight_decay=0.05, schedule="onecycle",
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(source="no published number for this split"),
)
