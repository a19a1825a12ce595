"""The FCN of Wang, Yan & Oates 2017 on spoken digits of a speaker who is not in train: theo.

Val are recordings of the other five. data_args.test=_george_ holds out george in his place, and so on for the six of
the Free Spoken Digit Dataset.
"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "fcn", "drop": 0.3},
    data="audio:spoken_digit",
    data_args={"label": r"^(\d)_", "test": "_theo_", "seconds": 1.0},
    epochs=15, batch=64, lr=1e-3, schedule="cosine", warmup="5%", ema=0.99,
)
