"""A convolutional network on CIFAR-10: many settings for an epoch, of which the best train on."""

from kerasdl.tuning import Search, choice, log, uniform

search = Search(
    recipe="cnn_cifar10_quick", oracle="hyperband",
    overrides={"epochs": 9},  # rungs of 1, 3 and 9 epochs
    space={
        "lr": log(5e-3, 0.2),
        "weight_decay": log(5e-3, 0.5),
        "optimizer_args.momentum": choice(0.6, 0.8, 0.9, 0.95),
        "objective_args.label_smoothing": uniform(0, 0.2),
        "batch": choice(256, 512, 1024),
    },
)
