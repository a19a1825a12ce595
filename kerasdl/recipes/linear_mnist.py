"""Softmax regression on MNIST."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="linear",
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=20, batch=128, lr=2e-3, jit=True,
    claim=Claim(published=0.88, source="LeCun et al. 1998: a linear classifier, 12 % error (squared loss)"),
)
