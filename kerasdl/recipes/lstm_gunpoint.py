"""A bidirectional LSTM on two motions of a hand (UCR's GunPoint).

The archive has no validation part: all 50 training series are trained on, and the last epoch is kept. Val is a tenth
of them, and chooses nothing. python -m benchmarks.sequences_data writes the data.
"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "S", "directions": 2},
    data="series:GunPoint_TRAIN.ts", splits={"train": "train+val"},
    epochs=300, batch=5, lr=3e-3, schedule="cosine", global_clipnorm=1.0, ema=0.99, keep="last",
)
