"""A bidirectional GRU on log mel spectra of spoken digits (Jackson et al., Free Spoken Digit Dataset)."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "gru", "size": "S", "directions": 2, "pool": "max", "drop": 0.3},
    data="audio:spoken_digit",
    data_args={"label": r"^(\d)_", "test": r"_[0-4]\.wav$", "seconds": 1.0},
    epochs=25, batch=64, lr=3e-3, schedule="cosine", warmup="5%", ema=0.99,
)
