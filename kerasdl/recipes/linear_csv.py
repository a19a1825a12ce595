"""Softmax regression on a table: kerasdl train linear_csv data=csv:FILE data_args.label=COLUMN"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="linear",
    data="csv:data.csv", data_args={"label": "label"},
    epochs=100, batch=32, lr=2e-2, patience=20,
)
