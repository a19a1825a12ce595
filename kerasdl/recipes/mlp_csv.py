"""A hidden layer on a table: kerasdl train mlp_csv data=csv:FILE data_args.label=COLUMN"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="mlp", model_args={"size": "512", "drop": 0.3},
    data="csv:data.csv", data_args={"label": "label"},
    epochs=100, batch=32, lr=2e-3, weight_decay=0.05, patience=20,
)
