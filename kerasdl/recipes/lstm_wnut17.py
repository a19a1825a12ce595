"""A bidirectional LSTM that finds emerging entities in posts (WNUT-17, Derczynski et al. 2017), from random weights."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "S", "directions": 2, "drop": 0.5}, objective="tag",
    data="tags:wnut17/wnut17train.conll",
    data_args={"val": "wnut17/emerging.dev.conll", "test": "wnut17/emerging.test.annotated", "length": 96,
               "tokens": "bpe", "vocabulary": 1_000},
    epochs=40, batch=32, lr=3e-3, schedule="cosine", warmup="5%", ema=0.99,
)
