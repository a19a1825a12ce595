"""An LSTM on the adding problem with 200 steps; python -m benchmarks.sequences_data writes the data."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "S"},
    objective="regress",
    data="series:adding.npz",
    epochs=20, batch=64, lr=3e-3, schedule="onecycle", global_clipnorm=1.0,
)
