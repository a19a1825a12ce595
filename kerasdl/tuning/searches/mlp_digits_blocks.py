"""Plain or residual, width, depth and dropout of an MLP: a space for tables, on digits, with its front of accuracy and
parameters."""

from kerasdl.tuning import Search, choice, integer, uniform

search = Search(
    recipe="mlp_digits", oracle="bayesian", trials=30, costs=("parameters",),
    overrides={"epochs": 20, "jit": None},
    space={
        "model": choice("mlp", "residual_mlp"),
        "model_args.width": integer(16, 512, log=True),
        "model_args.depth": integer(1, 6),
        "model_args.drop": uniform(0, 0.5),
        "model_args.ratio": choice(1, 2, 4).when(model="residual_mlp"),
    },
)
