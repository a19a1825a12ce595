"""A small transformer with rotary positions on MNIST-1D; python -m benchmarks.sequences_data writes the data."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="transformer", model_args={"size": "XS", "positions": "rotary", "drop": 0.1},
    data="series:mnist1d.npz",
    epochs=60, batch=64, lr=2e-3, schedule="cosine", warmup="5%", weight_decay=0.1, ema=0.99,
)
