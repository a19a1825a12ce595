"""How fast a small convolutional network can learn MNIST: its learning rate and its regularization."""

from kerasdl.tuning import Search, choice, log, uniform

search = Search(
    recipe="cnn_mnist", oracle="random", trials=20,
    overrides={"epochs": 2},  # the recipe's first place is decided early; train the winner with epochs=6
    space={
        "lr": log(1e-4, 1e-1),
        "weight_decay": log(1e-4, 1e-1),
        "model_args.drop": uniform(0, 0.5),
        "schedule": choice("onecycle", "cosine"),
    },
)
