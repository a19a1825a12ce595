"""Every combination of optimizer, learning rate and dropout of an MLP on digits, momentum only with sgd."""

from kerasdl.tuning import Search, choice, uniform

search = Search(
    recipe="mlp_digits", oracle="grid",
    overrides={"epochs": 10, "jit": None},  # for ten epochs XLA takes longer to compile than it saves
    space={
        "optimizer": choice("adamw", "sgd"),
        "lr": choice(1e-3, 3e-3, 1e-2),
        "optimizer_args.momentum": choice(0.8, 0.95).when(optimizer="sgd"),
        "model_args.drop": uniform(0, 0.4, step=0.2),
    },
)
