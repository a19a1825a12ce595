"""All 243 cells whose edges are a pool or one of two convolutions, around a skip: searches are compared on them."""

from kerasdl.tuning import Search, choice

OPERATIONS = "pool3", "conv1", "conv3"

search = Search(
    recipe="cell_digits", oracle="grid", costs=("multiply_adds",),
    overrides={"epochs": 10, "model_args.size": "mu", "model_args.edge03": "skip"},
    space={f"model_args.edge{edge}": choice(*OPERATIONS) for edge in ("01", "02", "12", "13", "23")},
)
