"""AlexNet in two towers on ImageNet, after Krizhevsky et al. 2012."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="alexnet", model_args={"size": "2012", "drop": 0.5},
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=90, batch=128, precision="mixed_bfloat16",
    optimizer="sgd", lr=0.01, schedule="step",
    weight_decay=5e-3,  # the paper's 5e-4 goes through the momentum of 0.9; ours is decoupled and does not
    augment=("flip", ("pad_crop", 28)),  # the paper crops from 256 pixels, and changes the colours
    claim=Claim(published=0.593, source="Krizhevsky et al. 2012, table 2: 40.7 % error of one network, ten crops"),
)
