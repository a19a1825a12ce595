"""A small Vision Transformer on CIFAR-10, three epochs a trial: AdamW or Muon, at which rate and with which decay."""

from kerasdl.tuning import Search, choice, log

search = Search(
    recipe="vit_cifar10_short", oracle="random", trials=8,
    overrides={"epochs": 3},
    space={
        "optimizer": choice("adamw", "muon"),
        "lr": log(5e-4, 5e-2),
        "weight_decay": log(0.02, 0.5),
    },
)
