"""Cells of NAS-Bench-201 on digits with at most 200,000 parameters, by regularised evolution."""

from kerasdl.tuning import Search, choice

OPERATIONS = "none", "skip", "conv1", "conv3", "pool3"

search = Search(
    recipe="cell_digits", oracle="evolution", trials=60,
    costs=("multiply_adds",), limits={"parameters": "200k"},
    overrides={"epochs": 10},
    space={f"model_args.edge{edge}": choice(*OPERATIONS) for edge in ("01", "02", "12", "03", "13", "23")},
)
