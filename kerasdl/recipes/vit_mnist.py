"""A small Vision Transformer on MNIST, four patches of 14x14 a digit: what two cores can train in minutes."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "XS", "patch": 14, "pool": "mean"},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=14, batch=128, lr=2e-3, weight_decay=0.05, warmup="5%", jit=True,
    augment=(("translate", 1),),
    ema=0.998,
    claim=Claim(source="no published number for this network on MNIST"),
)
