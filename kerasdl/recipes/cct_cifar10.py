"""CCT-7/3x1 on CIFAR-10 for 300 epochs, after Hassani et al. 2021 (arXiv:2104.05704)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cct", model_args={"size": "7/3x1", "drop_path": 0.1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=300, batch=128, lr=6e-4, weight_decay=0.06, warmup="10 epochs", objective_args={"label_smoothing": 0.1},
    augment=("flip", ("pad_crop", 4), ("randaugment", 2, 9), ("mixup", 0.8)),
    claim=Claim(published=0.9653, source="SHI-Labs/Compact-Transformers: CCT-7/3x1, 300 epochs"),
)
