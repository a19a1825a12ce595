"""ResNet-50 on ImageNet, after Goyal et al. 2017 (arXiv:1706.02677)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "50"},
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=90, batch=256, precision="mixed_bfloat16",
    optimizer="sgd", lr=0.1, schedule="step", warmup="5 epochs",
    weight_decay=1e-3,  # the paper's 1e-4 goes through the momentum of 0.9; ours is decoupled and does not
    augment=("flip", ("pad_crop", 28)),  # the paper's has crops of many sizes and shapes
    claim=Claim(published=0.7640, source="Goyal et al. 2017 (arXiv:1706.02677): 23.60 % error"),
)
