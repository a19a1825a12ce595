"""Plain Keras and `fit` on a row of sequences: python -m benchmarks.sequences_keras ROW."""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from benchmarks import meter  # noqa: E402
from benchmarks.sequences import EPOCHS, ROWS, Row  # noqa: E402


class Embedded(layers.Layer):
    """Tokens and their positions; the table is the head's, too."""

    def __init__(self, row: Row):
        super().__init__()
        self.tokens = layers.Embedding(row.vocabulary, row.width)
        self.positions = layers.Embedding(row.length, row.width)

    def call(self, x):
        return self.tokens(x) + self.positions(keras.ops.arange(x.shape[1]))


class Tied(layers.Layer):
    def __init__(self, embedded):
        super().__init__()
        self.embedded = embedded

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.embedded.tokens.embeddings))


def recurrent(row: Row) -> keras.Model:
    cell = {"gru": layers.GRU, "lstm": layers.LSTM}[row.cell]
    inputs = keras.Input((row.length,) if row.vocabulary else (row.length, 1))
    x = layers.Embedding(row.vocabulary, row.width)(inputs) if row.vocabulary else inputs
    for number in range(1, row.depth + 1):
        x = cell(row.width, return_sequences=number < row.depth)(x)
    return keras.Model(inputs, layers.Dense(row.classes)(x))


def gpt(row: Row, heads: int = 4) -> keras.Model:
    inputs = keras.Input((row.length,), dtype="int32")
    embedded = Embedded(row)
    x = embedded(inputs)
    for _ in range(row.depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + layers.MultiHeadAttention(heads, row.width // heads)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + layers.Dense(row.width)(layers.Dense(4 * row.width, activation="gelu")(y))
    return keras.Model(inputs, Tied(embedded)(layers.LayerNormalization(epsilon=1e-6)(x)))


class Watch(keras.callbacks.Callback):
    """Times the epochs but for their first steps."""

    def __init__(self):
        super().__init__()
        self.began, self.first, self.rates = time.perf_counter(), None, []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.mark = time.perf_counter()
            self.first = self.first or self.mark - self.began
        self.last = batch

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(self.last / (time.perf_counter() - self.mark))


def main() -> None:
    row = ROWS[sys.argv[1]]
    x, y = row.arrays()
    if y is None:
        x, y = x[:, :-1], np.ascontiguousarray(x[:, 1:])
    model = gpt(row) if row.cell == "gpt" else recurrent(row)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    watch = Watch()
    model.fit(x, y, batch_size=row.batch, epochs=EPOCHS, verbose=0, callbacks=[watch])
    meter.say(parameters=model.count_params(), steps_per_second=max(watch.rates), first_step_seconds=watch.first,
               total_seconds=meter.since_start())


if __name__ == "__main__":
    main()
