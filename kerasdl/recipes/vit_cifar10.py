"""ViT-Ti with 4x4 patches on CIFAR-10, from scratch, after Beyer et al. 2022 (arXiv:2205.01580)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "Ti", "patch": 4, "pool": "mean", "drop_path": 0.1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=200, batch=128, lr=1e-3, weight_decay=0.05, warmup="5%", objective_args={"label_smoothing": 0.1},
    augment=("flip", ("pad_crop", 4), ("randaugment", 2, 10), ("mixup", 0.2)),
    claim=Claim(published=0.9358, source="Lee et al. 2021 (arXiv:2112.13492): a ViT from scratch, 100 epochs"),
)
