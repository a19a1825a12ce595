"""A bidirectional GRU on sentences of film reviews (Pang & Lee 2005), from random embeddings."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "gru", "size": "S", "directions": 2, "pool": "max", "drop": 0.5},
    data="text:rt_polarity",
    data_args={"encoding": "latin-1", "vocabulary": 20_000, "length": 64, "test_share": 0.1},
    epochs=10, batch=64, lr=2e-3, schedule="cosine", warmup="5%", ema=0.99,
)
