"""MiniLM with public weights on texts: kerasdl train minilm_text data=text:FILE data_args.text=A data_args.label=B

Wang et al. 2020 (arXiv:2002.10957). Fetch the weights first: kerasdl weights get minilm
"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="transformer",
    model_args={"size": "minilm", "norm": "post", "types": 2, "longest": 512, "weights": "minilm", "drop": 0.1},
    data="text:texts.csv", data_args={"text": "text", "label": "label", "tokens": "minilm"},
    epochs=3, batch=32, lr=2e-4, schedule="cosine", warmup="10%", weight_decay=0.01, layer_decay=0.8,
    global_clipnorm=1.0,
)
