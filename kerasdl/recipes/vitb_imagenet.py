"""ViT-B/16 on ImageNet, from scratch, after Touvron et al. 2021 (arXiv:2012.12877)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "B", "patch": 16, "drop_path": 0.1},
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=300, batch=1024, precision="mixed_bfloat16",
    lr=1e-3, warmup="5 epochs", weight_decay=0.05, objective_args={"label_smoothing": 0.1},
    augment=("flip", ("randaugment", 2, 9), ("mixup", 0.8)),  # the paper's has cutmix and erasing besides
    claim=Claim(published=0.818, source="Touvron et al. 2021 (arXiv:2012.12877), DeiT-B without distillation"),
)
