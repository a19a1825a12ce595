"""One hidden layer on the embedded 8x8 digits, trained privately: epsilon 8 for all of the training."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="mlp", model_args={"size": "mu", "width": 128},
    data="digits",
    epochs=40, batch=256, optimizer="sgd", lr=1.0, schedule="cosine",
    private={"clip": 1.0, "delta": 1e-4, "epsilon": 8.0},
    ema=0.9, keep="last",  # 360 images are too few to choose by
    claim=Claim(source="no published number for this split"),
)
