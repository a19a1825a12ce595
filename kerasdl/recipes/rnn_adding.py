"""A SimpleRNN on the adding problem with 200 steps, trained as lstm_adding is, whose control it is."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "simple", "size": "S"},
    objective="regress",
    data="series:adding.npz",
    epochs=20, batch=64, lr=3e-3, schedule="onecycle", global_clipnorm=1.0,
)
