"""A causal transformer of 0.8 million parameters that writes Shakespeare by characters; of nanoGPT's size for a CPU.

Almost all of the first nine tenths is for training, as there: the last tenth continues a play that begins before it.
"""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="transformer", model_args={"size": "S", "drop": 0.0, "positions": "rotary"}, objective="language",
    data="chars:tinyshakespeare/input.txt", data_args={"length": 64, "val_share": 0.01},
    epochs=4, batch=32, optimizer="muon", lr=0.02, weight_decay=0.1, schedule="cosine", warmup="5%",
    global_clipnorm=1.0,
    claim=Claim(metric="test/loss", published=1.88, source="nanoGPT's README: its setting for a CPU, 2,000 steps"),
)
