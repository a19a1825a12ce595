"""A small Vision Transformer on the embedded 8x8 digits: the demo."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "XS", "patch": 2},
    data="digits",
    epochs=60, batch=64, lr=2e-3, weight_decay=0.05, warmup="5%",
    augment=(("translate", 1),),
    ema=0.99,
    claim=Claim(published=None, source="no published number for this split"),
)
