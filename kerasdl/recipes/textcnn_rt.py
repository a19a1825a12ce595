"""The text CNN of Kim 2014 with random first embeddings on sentences of film reviews (Pang & Lee 2005)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "kim", "drop": 0.5},
    data="text:rt_polarity",
    data_args={"encoding": "latin-1", "vocabulary": 20_000, "length": 64, "test_share": 0.1},
    epochs=12, batch=50, lr=1e-3, schedule="cosine", warmup="5%", ema=0.99,
    claim=Claim(published=0.761, source="Kim 2014 (arXiv:1408.5882), table 2: CNN-rand on MR, ten folds"),
)
