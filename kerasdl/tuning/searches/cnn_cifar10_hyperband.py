"""A convolutional network on CIFAR-10: many settings for an epoch, of which the best train on."""

from kerasdl.tuning import Search, choice, log, uniform

search = Search(
    recipe="cnn_cifar10", oracle="hyperband",
    overrides={"epochs": 27},  # rungs of 1, 3, 9 and 27 epochs
    space={
        "lr": log(5e-4, 5e-2),
        "weight_decay": log(1e-3, 0.3),
        "model_args.drop": uniform(0, 0.4),
        "label_smoothing": uniform(0, 0.2),
        "batch": choice(64, 128, 256),
        "schedule": choice("cosine", "onecycle"),
    },
)
