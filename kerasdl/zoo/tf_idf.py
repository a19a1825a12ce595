"""TF-IDF with a linear layer, on tokens (Salton & Buckley 1988): words and pairs of them, by how rare they are.

A term that occurs c times in a text weighs (1 + log c) idf, and the weights of a text have the L2 norm 1. They are as
those of scikit-learn's TfidfVectorizer(sublinear_tf=True), which has found the terms.
"""

import math

import keras
import numpy as np
from keras import layers, ops

LARGEST = math.isqrt(2**31 - 1)  # vocabulary of which every pair of tokens has a number of its own in int32


@keras.saving.register_keras_serializable(package="kerasdl")
class TfIdf(layers.Layer):
    """Weigh the terms of texts and multiply them with a kernel: tokens (B, T) -> float32 (B, classes). 0 is padding.

    The number of a token is its term, and that of two in a row is first * vocabulary + second. Each place of a term
    counts 1 / c, so that no array has a column for each known term.

    Args:
        terms: how many there are.
        vocabulary: of the tokens.
        classes: how many numbers a text gets.
    """

    def __init__(self, terms, vocabulary, classes, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.terms, self.vocabulary, self.classes = terms, vocabulary, classes
        self.autocast = False

    def build(self, input_shape):
        fixed = {"initializer": "zeros", "trainable": False}
        self.term = self.add_weight(shape=(self.terms,), dtype="int32", name="term", **fixed)
        self.idf = self.add_weight(shape=(self.terms,), name="idf", **fixed)
        self.kernel = self.add_weight(shape=(self.terms, self.classes), name="kernel", **fixed)
        self.bias = self.add_weight(shape=(self.classes,), name="bias", **fixed)

    def call(self, tokens):
        tokens = ops.cast(tokens, "int32")
        total, squares = self._weighed(tokens)
        if self.vocabulary <= LARGEST:
            there = ops.logical_and(tokens[:, :-1] > 0, tokens[:, 1:] > 0)
            pairs = self._weighed(ops.where(there, tokens[:, :-1] * self.vocabulary + tokens[:, 1:], 0))
            total, squares = total + pairs[0], squares + pairs[1]
        norm = ops.sqrt(squares)
        return total / ops.where(norm > 0, norm, 1.0) + self.bias

    def _weighed(self, terms):
        """Return the sum of the kernel's rows by their weights (B, classes), and of the squared weights (B, 1)."""
        place = self._place(terms)
        known = ops.cast(ops.logical_and(ops.equal(ops.take(self.term, place), terms), terms > 0), "float32")
        same = ops.cast(ops.equal(ops.expand_dims(terms, 1), ops.expand_dims(terms, 2)), "float32")
        count = ops.sum(same, axis=-1)
        weight = (1.0 + ops.log(count)) * ops.take(self.idf, place)
        share = known / count
        rows = ops.take(self.kernel, place, axis=0)
        return (ops.einsum("bt,btc->bc", share * weight, rows),
                ops.sum(share * ops.square(weight), axis=1, keepdims=True))

    def _place(self, terms):
        """Return the place of each term among those known, by bisection; that of another one if it is not among them.

        The operation of Keras that does this is none that other runtimes have.
        """
        place = ops.zeros_like(terms)
        for power in reversed(range(self.terms.bit_length())):
            next_place = ops.minimum(place + 2**power, self.terms - 1)
            place = ops.where(ops.take(self.term, next_place) <= terms, next_place, place)
        return place

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        return super().get_config() | {"terms": self.terms, "vocabulary": self.vocabulary, "classes": self.classes}


def build(vocabulary: int, classes: int, terms: np.ndarray, idf: np.ndarray, kernel: np.ndarray, bias: np.ndarray,
          name: str = "tf_idf") -> keras.Model:
    """Build a model: tokens (B, T) of any length -> float32 "logits" (B, classes).

    Args:
        vocabulary: number of tokens, with the 0 of padding; more than LARGEST have no pairs.
        classes: number of classes, or of outputs in a regression.
        terms: (N,) the number of each term, in any order.
        idf, kernel: (N,) and (N, classes), of each term.
        bias: (classes,).
        name: name of the model.
    """
    order = np.argsort(terms)
    inputs = keras.Input((None,), dtype="int32", name="tokens")
    layer = TfIdf(len(terms), vocabulary, classes, name="logits")
    network = keras.Model(inputs, layer(inputs), name=name)
    layer.set_weights([terms[order], idf[order], kernel[order], bias])
    return network
