"""Softmax regression on CIFAR-10."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="linear",
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=30, batch=256, lr=2e-3, weight_decay=0.1, jit=True,
    augment=("alternating_flip",),
    ema=0.999,
)
