"""A Vision Transformer on digits: learning rate, decay, warm-up, patches and pooling, by a Gaussian process."""

from kerasdl.tuning import Search, choice, log, uniform

search = Search(
    recipe="vit_digits", oracle="bayesian", trials=30,
    overrides={"epochs": 30, "jit": None},
    space={
        "lr": log(3e-4, 1e-2),
        "weight_decay": log(1e-3, 0.3),
        "warmup": choice("0%", "10%", "30%"),
        "model_args.patch": choice(2, 4),
        "model_args.pool": choice("mean", "token"),
        "model_args.drop_path": uniform(0, 0.3),
    },
)
