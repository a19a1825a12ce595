"""The number of trainable parameters."""

from kerasdl.costs import parameters


def score(network, x, y):
    return float(parameters.measure(network, x))
