"""What kerasdl uses of Keras that is not public, all of it, with the reason. Seen to work with Keras 3.14 to 3.15.1.

A test reads the package for private names of Keras; one that is not listed here fails it.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state

NAMES = {
    # Models and layers
    "_flatten_layers": "the layers inside layers, such as those of MultiHeadAttention",
    "_maybe_symbolic_build": "Keras averages a first batch over the replicas to learn its shape, which fails with "
                             "several workers (keras#20585) and with a batch that does not divide (keras#19246)",
    "_aggregate_additional_loss": "divides the losses that layers add by the number of replicas",
    "_update_metrics_variables": "on JAX the metrics of a step that takes its batch in parts",
    "_moments": "the mean and variance of batch normalisation, which with a mask ignores `synchronized`",
    "_inbound_nodes": "how often a layer is called",
    "_outbound_nodes": "which layers read what a layer answers",
    # Optimizers
    "_clip_gradients": "Keras clips the gradient of each replica and adds them up then (keras#20582)",
    "_all_reduce_sum_gradients": "the sum over replicas, after which the whole batch's gradient is clipped",
    "_apply_weight_decay": "decay by the learning rate of each variable, in one pass with the step",
    "_use_weight_decay": "which variables decay, as exclude_from_weight_decay has set it",
    "_get_variable_index": "a variable's place among the optimizer's slots",
    "_should_use_adamw": "which variables Keras' Muon leaves to AdamW: it goes by the number of axes",
    "_muon_update_step": "Muon's step, with kernels reshaped to the matrices that they are by nature",
    "_momentums": "AdamW's first moments, for TensorFlow's fused operation",
    "_velocities": "AdamW's second moments, for the same operation",
    # Fast forms of layers
    "_inverse_sqrt_key_dim": "the scale of attention",
    "_flash_attention": "whether attention runs another kernel already",
    "_use_gate": "whether attention is gated, which the fast form is not",
    "_sliding_window": "whether attention is local, which the fast form is not",
    "_keras_mask": "whether a tensor carries a mask, which the fast form does not read",
}


class FitsReplicas(keras.Model):
    """A model whose `fit` runs under any strategy. Its variables and metrics exist before the first step."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass


@contextmanager
def fresh_names() -> Iterator[None]:
    """Let layers without names, made inside, be called as in a new process: dense, dense_1.

    Keras counts all that a process makes. Those made later get names that neither these nor earlier ones have.
    """
    key = "object_name_uids"
    before: dict[str, int] = global_state.get_global_attribute(key) or {}
    inside: dict[str, int] = defaultdict(int)
    global_state.set_global_attribute(key, inside)
    try:
        yield
    finally:
        most = {name: max(before.get(name, 0), inside.get(name, 0)) for name in before.keys() | inside.keys()}
        global_state.set_global_attribute(key, defaultdict(int, most))


def flat_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """Return all layers of a network, at every depth."""
    return list(network._flatten_layers())


def take_moments(layer: keras.layers.BatchNormalization, moments: Callable | None) -> None:
    """Let a layer take its mean and variance from a function of Keras' method, inputs and mask; None: from that method.
    """
    vars(layer).pop("_moments", None)
    if moments:
        layer._moments = functools.partial(moments, layer._moments)


def only_reader(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """Return the layer that alone reads what a layer answers, if each is called once; else None."""
    readers = [node.operation for node in layer._outbound_nodes]
    once = len(readers) == 1 and len(layer._inbound_nodes) == 1 and len(readers[0]._inbound_nodes) == 1
    return readers[0] if once else None
