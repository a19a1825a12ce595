"""ViT-S/16 on ImageNet, from scratch, after Beyer et al. 2022 (arXiv:2205.01580)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "S", "patch": 16, "pool": "mean"},
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=90, batch=1024, precision="mixed_bfloat16",
    lr=1e-3, warmup=10_000, global_clipnorm=1.0,
    weight_decay=0.1,  # the paper's 1e-4 is not multiplied by the learning rate; ours is
    augment=("flip", ("randaugment", 2, 10), ("mixup", 0.2)),
    claim=Claim(published=0.765, source="Beyer et al. 2022 (arXiv:2205.01580): 90 epochs"),
)
