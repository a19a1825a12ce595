"""The small convolutional network of cnn_mnist, trained on images that PGD has moved by up to 0.3 of the range."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S"},
    objective="robust", objective_args={"eps": 76.5, "steps": 7},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=12, batch=128, lr=3e-3, weight_decay=0.01, schedule="onecycle",
    ema=0.998,
    claim=Claim(metric="test/robust_accuracy",
                source="Madry et al. 2018 (arXiv:1706.06083): 93.2 % under PGD of 100 steps and 20 restarts, with 40 "
                       "steps in training and a larger network"),
)
