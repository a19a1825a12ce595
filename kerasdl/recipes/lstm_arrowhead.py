"""A bidirectional LSTM on outlines of arrowheads (UCR's ArrowHead).

The archive has no validation part: all 36 training series are trained on, and the last epoch is kept. Val is a tenth
of them, and chooses nothing. python -m benchmarks.sequences_data writes the data.
"""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="rnn", model_args={"cell": "lstm", "size": "S", "directions": 2},
    data="series:ArrowHead_TRAIN.ts", splits={"train": "train+val"},
    epochs=300, batch=3, lr=3e-3, schedule="cosine", global_clipnorm=1.0, ema=0.99, keep="last",
)
