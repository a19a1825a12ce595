"""The FCN of Wang, Yan & Oates 2017 on log mel spectra of spoken digits (Jackson et al., Free Spoken Digit Dataset)."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "fcn", "drop": 0.3},
    data="audio:spoken_digit",
    data_args={"label": r"^(\d)_", "test": r"_[0-4]\.wav$", "seconds": 1.0},
    epochs=15, batch=64, lr=1e-3, schedule="cosine", warmup="5%", ema=0.99,
)
