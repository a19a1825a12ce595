"""VGG-16 with batch normalisation on ImageNet, after Simonyan & Zisserman 2015 (arXiv:1409.1556)."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vgg", model_args={"size": "16", "norm": True, "drop": 0.5},  # without it the paper starts from a trained A
    data="imagenet2012", data_args={"image_size": [224, 224]},
    splits={"train": "train[:99%]", "val": "train[99%:]"},
    epochs=74, batch=256, precision="mixed_bfloat16",
    optimizer="sgd", lr=0.01, schedule="step",
    weight_decay=5e-3,  # the paper's 5e-4 goes through the momentum of 0.9; ours is decoupled and does not
    augment=(("random_resized_crop", 0.19, 1), "flip"),  # scales of up to 512 pixels; the paper changes the colours
    claim=Claim(published=0.730, source="Simonyan & Zisserman 2015 (arXiv:1409.1556), table 3: D, 27.0 % error at 256 "
                                        "pixels, without normalisation"),
)
