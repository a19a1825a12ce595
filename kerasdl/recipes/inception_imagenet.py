"""Inception v3 on ImageNet, after Szegedy et al. 2016 (arXiv:1512.00567)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="inception", model_args={"size": "v3", "drop": 0.2},
    data="imagenet2012", data_args={"image_size": [299, 299]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=100, batch=256, precision="mixed_bfloat16",
    optimizer="sgd", lr=0.1, warmup="5 epochs", weight_decay=4e-4,  # the paper has RMSProp at 0.045
    global_clipnorm=2.0, objective_args={"label_smoothing": 0.1},
    augment=("random_resized_crop", "flip"),
    claim=Claim(published=0.788, source="Szegedy et al. 2016 (arXiv:1512.00567), table 3: 21.2 % error, one crop"),
)
