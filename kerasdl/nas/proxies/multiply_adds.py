"""The multiply-adds of an example."""

from kerasdl.costs import multiply_adds


def score(network, x, y):
    return float(multiply_adds.measure(network, x))
