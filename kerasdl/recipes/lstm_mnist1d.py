"""An LSTM in both directions on MNIST-1D; python -m benchmarks.sequences_data writes the data."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "S", "directions": 2},
    data="series:mnist1d.npz",
    epochs=20, batch=64, lr=1e-2, schedule="onecycle", ema=0.99,
)
