"""ConvNeXt-T on ImageNet, after Liu et al. 2022 (arXiv:2201.03545)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="convnext", model_args={"size": "T", "drop_path": 0.1},
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=300, batch=4096, precision="mixed_bfloat16",
    lr=4e-3, warmup="20 epochs", weight_decay=0.05, ema=0.9999, objective_args={"label_smoothing": 0.1},
    augment=("flip", ("randaugment", 2, 9), ("mixup", 0.8)),  # the paper's has cutmix and erasing besides
    claim=Claim(published=0.821, source="Liu et al. 2022 (arXiv:2201.03545), table 1"),
)
