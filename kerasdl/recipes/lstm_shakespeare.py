"""Two layers of LSTM, 1.1 million parameters, that write Shakespeare by characters (Karpathy 2015)."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "L"}, objective="language",
    data="chars:tinyshakespeare/input.txt", data_args={"length": 64, "val_share": 0.01},
    epochs=3, batch=32, optimizer="muon", lr=0.02, weight_decay=0.1, schedule="cosine", warmup="5%",
    global_clipnorm=1.0,
)
