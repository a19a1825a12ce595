"""Structured pruning: whole filters removed, from every layer that makes or reads a channel.

Channels that are added to one another, as along the residuals of a ResNet, are one group and stay or go together. What
is removed is chosen by the norms of filters, normalisation included (Li et al. 2017, "Pruning Filters for Efficient
ConvNets", arXiv:1608.08710), each divided by its layer's mean, until the network takes the share of multiply-adds that
is asked for.
"""

from collections import defaultdict
from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from kerasdl.compression import graph
from kerasdl.compression.fold import foldable, folded_weights
from kerasdl.zoo.blocks import DropPath
from kerasdl.zoo.cost import layer_multiply_adds, layer_steps
from kerasdl.zoo.resnet import PadShortcut
from kerasdl.zoo.sequences import Hide, LastStep, MaxStep, MeanStep

FILTERS = (layers.Conv1D, layers.Conv2D, layers.Dense)  # make channels, the last axis of a kernel, of those they read
SAME = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.SpatialDropout2D, layers.Identity,
        layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D,
        layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalAveragePooling1D,
        layers.GlobalAveragePooling2D, layers.ZeroPadding1D, layers.ZeroPadding2D, DropPath, Hide,
        LastStep, MaxStep, MeanStep)  # of as many channels
LEAST = 1 / 8  # of a layer's channels, which stay


class Channels:
    """Which channels of a network are the same.

    Attributes:
        made: {layer: the group of each channel of its output}.
        read: {layer: the group of each number that its kernel reads, or of each channel of its input}.
        fixed: the groups that stay: of inputs, outputs, and layers of kinds that are not known here.
    """

    def __init__(self, network: keras.Model):
        self.parents: list[int] = []
        self.made: dict[str, np.ndarray] = {}
        self.read: dict[str, np.ndarray] = {}
        fixed: list[int] = []
        sources, known = graph.reads(network), {one.name: one for one in network.operations}
        for name in sources:
            layer = known[name]  # or an operation that is no layer
            read = [self.made[source] for source in sources[name]]
            self.made[name] = self._through(layer, name, read, fixed)
        for name in graph.outputs(network):
            fixed.extend(self.made[name])
        self.made, self.read = ({name: self._roots(ids) for name, ids in table.items()}
                                for table in (self.made, self.read))
        self.fixed = set(self._roots(np.array(fixed, int)).tolist())

    def _through(self, layer, name, read, fixed) -> np.ndarray:
        """Return the channels of a layer's output."""
        if read:
            self.read[name] = read[0]
        if isinstance(layer, FILTERS) and getattr(layer, "groups", 1) == 1:
            return self._new(layer.output.shape[-1])
        if isinstance(layer, layers.DepthwiseConv2D) and layer.depth_multiplier == 1:
            return read[0]
        if isinstance(layer, SAME) or (isinstance(layer, layers.BatchNormalization)
                                       and layer.axis in (-1, len(layer.output.shape) - 1)):
            return read[0]
        if isinstance(layer, layers.Flatten):
            return np.tile(read[0], layer.output.shape[-1] // len(read[0]))
        if isinstance(layer, layers.Concatenate) and layer.axis in (-1, len(layer.output.shape) - 1):
            return np.concatenate(read)
        if isinstance(layer, PadShortcut):
            return np.concatenate([read[0], self._new(layer.filters - len(read[0]))])
        if isinstance(layer, layers.Add) and len({len(ids) for ids in read}) == 1:
            for other in read[1:]:
                self._join(read[0], other)
            return read[0]
        fixed.extend(channel for ids in read for channel in ids)
        made = self._new((keras.tree.flatten(layer.output)[0].shape or (1,))[-1] or 1)
        fixed.extend(made)
        return made

    def _new(self, count: int) -> np.ndarray:
        self.parents.extend(range(len(self.parents), len(self.parents) + count))
        return np.arange(len(self.parents) - count, len(self.parents))

    def _root(self, one: int) -> int:
        while self.parents[one] != one:
            one = self.parents[one]
        return one

    def _roots(self, ids: np.ndarray) -> np.ndarray:
        return np.array([self._root(one) for one in ids], int)

    def _join(self, one: np.ndarray, other: np.ndarray) -> None:
        for a, b in zip(one, other, strict=True):
            self.parents[self._root(a)] = self._root(b)


def slimmed(network: keras.Model, share: float, steps: int = 1) -> keras.Model:
    """Return a network without the filters of the smallest norms, with the other weights.

    Args:
        network: trained.
        share: of its multiply-adds that go, above 0 and below 1; as near above that as whole channels come.
        steps: of a sequence, where the network takes any number of them.

    Raises:
        ValueError: the network is no graph of layers, or fewer of its channels may go.
    """
    network = graph.functional(network)
    channels = Channels(network)
    return without(network, channels, chosen(network, channels, share, layer_steps(network, steps)))


def chosen(network: keras.Model, channels: Channels, share: float, steps: int = 1) -> set[int]:
    """Return the groups to remove, those of the smallest importance first, until the share of the work is gone."""
    gone: set[int] = set()
    work = remaining(network, channels, gone, steps)
    filters = {layer.name: channels.made[layer.name] for layer in network.layers if isinstance(layer, FILTERS)}
    left = {name: len(ids) for name, ids in filters.items()}
    least = {name: max(1, round(LEAST * count)) for name, count in left.items()}
    where = defaultdict(list)
    for name, ids in filters.items():
        for group in ids:
            where[int(group)].append(name)
    for group in importance(network, channels, filters):
        if any(left[name] <= least[name] for name in where[group]):
            continue
        gone.add(group)
        for name in where[group]:
            left[name] -= 1
        if remaining(network, channels, gone, steps) <= (1 - share) * work:
            return gone
    possible = 1 - remaining(network, channels, gone, steps) / work
    raise ValueError(f"{network.name} can lose {possible:.0%} of its multiply-adds by whole channels, of which each "
                     f"layer keeps {LEAST:.1%}; {share:.0%} is asked for.")


def importance(network: keras.Model, channels: Channels, filters: Mapping[str, np.ndarray]) -> list[int]:
    """Return the groups that may go, the least important first.

    A filter's importance is its L2 norm, with the normalisation behind it, by the mean of its layer; a group's is the
    mean of its filters'.
    """
    norms = {before: norm for norm, before in foldable(network).items()}
    found = defaultdict(list)
    for name, ids in filters.items():
        layer = network.get_layer(name)
        kernel = folded_weights(layer, network.get_layer(norms[name]))[0] if name in norms else layer.get_weights()[0]
        lengths = np.sqrt(np.square(kernel.reshape(-1, kernel.shape[-1])).sum(0))
        for group, length in zip(ids, lengths / max(lengths.mean(), 1e-12), strict=True):
            found[int(group)].append(float(length))
    return sorted(found.keys() - channels.fixed, key=lambda group: (np.mean(found[group]), group))


def remaining(network: keras.Model, channels: Channels, gone: set[int], steps: int = 1) -> float:
    """Return the multiply-adds of a network without these groups."""
    total = 0.0
    for layer in network.layers:
        name = layer.name
        work = float(layer_multiply_adds(layer, steps))
        if work and isinstance(layer, (*FILTERS, layers.DepthwiseConv2D)):
            work *= share_left(channels.read[name], gone)
            if isinstance(layer, FILTERS):
                work *= share_left(channels.made[name], gone)
        total += work
    return total


def share_left(ids: np.ndarray, gone: set[int]) -> float:
    return float(np.mean([group not in gone for group in ids]))


def without(network: keras.Model, channels: Channels, gone: set[int]) -> keras.Model:
    """Return the network without some groups of channels. It answers as with these channels at zero."""
    weights, changes = {}, {}
    for layer in network.layers:
        name = layer.name
        made, read = (np.array([group not in gone for group in table.get(name, ())], bool)
                      for table in (channels.made, channels.read))
        kept = layer.get_weights()
        if getattr(layer, "groups", 1) > 1 or getattr(layer, "depth_multiplier", 1) > 1:
            continue  # all its channels stay
        if isinstance(layer, FILTERS):
            kernel, *bias = kept
            weights[name] = [kernel[..., read, :][..., made], *(one[made] for one in bias)]
            changes[name] = {"units" if isinstance(layer, layers.Dense) else "filters": int(made.sum())}
        elif isinstance(layer, layers.DepthwiseConv2D):
            kernel, *bias = kept
            weights[name] = [kernel[:, :, made], *(one[made] for one in bias)]
        elif isinstance(layer, layers.BatchNormalization):
            weights[name] = [one[made] for one in kept]
        elif isinstance(layer, PadShortcut):
            changes[name] = {"filters": int(made.sum())}
    return graph.rebuilt(network, lambda layer: graph.same(layer, **changes.get(layer.name, {})), weights)
