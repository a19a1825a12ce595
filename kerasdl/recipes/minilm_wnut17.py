"""MiniLM (Wang et al. 2020) with public weights, fine-tuned to find emerging entities in posts (WNUT-17)."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="transformer",
    model_args={"size": "minilm", "norm": "post", "types": 2, "longest": 512, "weights": "minilm", "drop": 0.1},
    objective="tag",
    data="tags:wnut17/wnut17train.conll",
    data_args={"val": "wnut17/emerging.dev.conll", "test": "wnut17/emerging.test.annotated", "length": 96,
               "tokens": "minilm"},
    epochs=4, batch=32, lr=2e-4, schedule="cosine", warmup="10%", weight_decay=0.01, layer_decay=0.8,
    global_clipnorm=1.0,
)
