"""Trainable parameters of a network."""

import math

UNIT = ""
PACKAGES = ()


def measure(network, examples):
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)
