"""A small Vision Transformer on MNIST, sixteen patches of 7x7 a digit."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "XS", "patch": 7, "pool": "mean"},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=8, batch=128, lr=2e-3, jit=True, weight_decay=0.05, warmup="5%",
    augment=(("translate", 2),),
    ema=0.998,
    claim=Claim(source="no published number for this network on MNIST"),
)
