"""ResNet-20 on CIFAR-10, trained on images that one step has moved by up to 8 grey levels."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "20"},
    objective="robust", objective_args={"eps": 8.0, "method": "fast"},
    data="cifar10", splits={"train": "train[:49000]", "val": "train[49000:]"},
    epochs=16, batch=128, optimizer="muon", lr=0.05, schedule="onecycle", weight_decay=0.1,
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998,
    claim=Claim(metric="test/robust_accuracy",
                source="Wong et al. 2020 (arXiv:2001.03994): 46.06 % under PGD of 50 steps and 10 restarts, "
                       "PreActResNet-18, 15 epochs"),
)
