"""Two hidden layers of 512 on MNIST."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="mlp", model_args={"size": "512-512", "drop": 0.2},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=20, batch=256, lr=2e-3, jit=True, weight_decay=0.02,
    augment=(("translate", 1),),
    ema=0.999,
    claim=Claim(published=0.984, source="Simard et al. 2003: 800 hidden units, no distortions, 1.6 % error"),
)
