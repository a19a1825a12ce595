"""How wide and how deep an MLP on digits should be, with its learning rate, by random search."""

from kerasdl.tuning import Search, choice, integer, log

search = Search(
    recipe="mlp_digits", oracle="random", trials=12,
    overrides={"epochs": 10, "jit": None},
    space={
        "model_args.width": choice(32, 64, 128, 256, 512),
        "model_args.depth": integer(1, 3),
        "lr": log(5e-4, 1e-2),
    },
)
