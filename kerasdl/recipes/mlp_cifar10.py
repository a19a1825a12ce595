"""Two normalised hidden layers of 1024 on CIFAR-10, with images that are shifted."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="mlp", model_args={"size": "1024-1024", "norm": True, "drop": 0.1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=40, batch=256, lr=2e-3, jit=True, weight_decay=0.05, objective_args={"label_smoothing": 0.05},
    augment=("alternating_flip", ("pad_crop", 2)),
    ema=0.999,
)
