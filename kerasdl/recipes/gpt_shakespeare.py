"""A causal transformer of 0.8 million parameters that writes Shakespeare by characters; nanoGPT's setting for a CPU."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="transformer", model_args={"size": "S", "drop": 0.0}, objective="language",
    data="chars:tinyshakespeare/input.txt", data_args={"length": 64},
    epochs=9, batch=32, lr=3e-3, weight_decay=0.1, schedule="cosine", warmup="5%", global_clipnorm=1.0,
    optimizer_args={"betas": (0.9, 0.99)},
    claim=Claim(metric="test/loss", published=1.88, source="nanoGPT's README: its setting for a CPU, 2,000 steps"),
)
