"""Masked language modelling on sentences of film reviews: first weights for a classifier of the same."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="transformer", model_args={"size": "S", "drop": 0.1}, objective="masked",
    data="text:rt_polarity",
    data_args={"encoding": "latin-1", "tokens": "bpe", "vocabulary": 4_000, "length": 64, "test_share": 0.1},
    epochs=30, batch=64, lr=1e-3, weight_decay=0.01, schedule="cosine", warmup="5%", global_clipnorm=1.0,
)
