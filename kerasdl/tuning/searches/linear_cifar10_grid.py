"""Softmax regression on CIFAR-10: four learning rates, with and without weight decay."""

from kerasdl.tuning import Search, choice

search = Search(
    recipe="linear_cifar10", oracle="grid",
    space={
        "lr": choice(2e-4, 5e-4, 1e-3, 2e-3),
        "weight_decay": choice(0.0, 0.1),
    },
)
