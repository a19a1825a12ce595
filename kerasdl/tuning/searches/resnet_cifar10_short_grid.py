"""A small residual network on CIFAR-10, three epochs a trial: SGD or Muon, each at two rates."""

from kerasdl.tuning import Search, choice

search = Search(
    recipe="resnet_cifar10_short", oracle="grid",
    overrides={"epochs": 3},
    space={
        "optimizer": choice("sgd", "muon"),
        "lr": (choice(0.1, 0.3).when(optimizer="sgd"), choice(0.02, 0.05).when(optimizer="muon")),
        "weight_decay": (choice(1e-3).when(optimizer="sgd"), choice(0.1).when(optimizer="muon")),
    },
)
