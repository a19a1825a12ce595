"""MiniLM (Wang et al. 2020) with public weights, fine-tuned on sentences of film reviews (Pang & Lee 2005)."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="transformer",
    model_args={"size": "minilm", "norm": "post", "types": 2, "longest": 512, "weights": "minilm", "drop": 0.1},
    data="text:rt_polarity",
    data_args={"encoding": "latin-1", "tokens": "minilm", "length": 64, "test_share": 0.1},
    epochs=3, batch=32, lr=2e-4, schedule="cosine", warmup="10%", weight_decay=0.01, layer_decay=0.8,
    global_clipnorm=1.0,
)
