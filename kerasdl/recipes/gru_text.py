"""A GRU on texts: kerasdl train gru_text data=text:FILE data_args.text=COLUMN data_args.label=COLUMN"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "gru", "size": "S", "directions": 2, "pool": "max", "drop": 0.5},
    data="text:texts.csv", data_args={"text": "text", "label": "label", "vocabulary": 20_000},
    epochs=10, batch=32, lr=2e-3, schedule="cosine", warmup="5%", patience=3,
)
