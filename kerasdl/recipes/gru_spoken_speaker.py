"""A bidirectional GRU on spoken digits of a speaker who is not in train: theo.

Val are recordings of the other five. data_args.test=_george_ holds out george in his place, and so on for the six of
the Free Spoken Digit Dataset.
"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "gru", "size": "S", "directions": 2, "pool": "max", "drop": 0.3},
    data="audio:spoken_digit",
    data_args={"label": r"^(\d)_", "test": "_theo_", "seconds": 1.0},
    epochs=25, batch=64, lr=3e-3, schedule="cosine", warmup="5%", ema=0.99,
)
