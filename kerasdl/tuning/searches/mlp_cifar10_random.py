"""A perceptron on CIFAR-10, twelve epochs a trial: learning rate, decay, dropout, smoothing and size of a batch."""

from kerasdl.tuning import Search, choice, log, uniform

search = Search(
    recipe="mlp_cifar10", oracle="random", trials=12,
    overrides={"epochs": 12},
    space={
        "lr": log(5e-4, 1e-2),
        "weight_decay": log(1e-3, 0.3),
        "model_args.drop": choice(0.0, 0.1, 0.2),
        "objective_args.label_smoothing": uniform(0, 0.1),
        "batch": choice(256, 512),
    },
)
