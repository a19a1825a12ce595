"""The FCN of Wang et al. 2017 on MNIST-1D; python -m benchmarks.sequences_data writes the data."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "fcn"},
    data="series:mnist1d.npz",
    epochs=15, batch=64, lr=3e-3, weight_decay=0.05, schedule="onecycle", ema=0.99,
    claim=Claim(published=0.94, source="Greydanus 2020 (arXiv:2011.14439): CNN"),
)
