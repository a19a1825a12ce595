"""Explain a model's answers for examples: model, batch -> arrays."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasdl.errors import UserError, nearest
from kerasdl.explain import methods
from kerasdl.explain.network import PLACES, Network

METHOD = "integrated_gradients"  # that fits every model, and whose numbers sum to what they explain


@dataclass(frozen=True)
class Explanation:
    """What a method says of a model's answers.

    Attributes:
        method: its name.
        values: (N, ...) what the method computes; see its `attribute`.
        maps: one number for each place of an example: (N, H, W), (N, T), or (N, columns).
        signed: whether numbers below 0 speak against the target.
        target: (N,) which output is explained.
        logits: (N, K) the answers.
        parts: further maps by name, such as one for each head.
    """

    method: str
    values: np.ndarray
    maps: np.ndarray
    signed: bool
    target: np.ndarray
    logits: np.ndarray
    parts: Mapping[str, np.ndarray]


def explain(model: keras.Model | Network, x: np.ndarray, method: str = METHOD, *,
            target: int | np.ndarray | None = None, kind: str | None = None, **settings: Any) -> Explanation:
    """Explain a model's answers for a batch of examples.

    Args:
        model: a model of the zoo, or another one that takes raw examples and gives logits (B, K).
        x: (N, ...) raw examples: images 0..255, rows, sequences padded with NaN, or tokens padded with 0.
        method: a file of kerasdl/explain/methods that explains examples.
        target: which output, or (N,) one for each example; None: the largest, which is the predicted class.
        kind: "image", "row", "sequence" or "tokens"; None: by the name of the model's input, as in the zoo.
        **settings: of the method, such as steps=128 or layer="maps"; see its `attribute`.

    Raises:
        UserError: an unknown method, one that does not fit the model, a setting or a target that it does not have, or
            no examples.
    """
    network = model if isinstance(model, Network) else Network(model, kind)
    module = methods.check(method, network)
    if not methods.is_attribution(module):
        raise UserError(f"{method} explains the model and not its examples: "
                        f"kerasdl.explain.description.describe(model, {method!r}).")
    check_settings(method, module.attribute, settings)
    x = np.asarray(x)
    if x.ndim != len(network.model.inputs[0].shape) or not len(x):
        raise UserError(f"Expected examples of shape {tuple(network.model.inputs[0].shape)}, one or more. "
                        f"Received: {x.shape}.")
    logits = network.logits(x)
    chosen = targets(target, logits)
    values = module.attribute(network, x, chosen, **settings)
    own = getattr(module, "maps", None)
    maps = own(network, x, values) if own else places(network, x, values, module.SIGNED)
    maps = np.where(network.present(x), maps, 0)  # padding, of which a layer's maps may hold something
    parts = module.parts(network, x, values) if hasattr(module, "parts") else {}
    return Explanation(method, values, maps, module.SIGNED or network.kind == "row", chosen, logits, parts)


def places(network: Network, x: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    """Return one number for each place of an example.

    Numbers that sum to something are summed over the channels of a pixel, the numbers of a step or of a token's vector.
    Of sensitivities it is the norm. Those of rows and steps are first multiplied by the deviation of the training
    data, so that a column in metres and one in kilometres compare.
    """
    values = values if signed else values * network.unit(x)
    if values.ndim == 1 + PLACES[network.kind]:
        return values
    return values.sum(axis=-1) if signed else np.sqrt(np.square(values).sum(axis=-1))


def targets(target: int | np.ndarray | None, logits: np.ndarray) -> np.ndarray:
    """Return the output to explain of each example, (N,).

    Raises:
        UserError: a number that is no output, or another number of targets than examples.
    """
    if target is None:
        return logits.argmax(axis=1)
    found = np.broadcast_to(target, len(logits)) if np.ndim(target) == 0 else np.asarray(target)
    if found.shape != (len(logits),) or found.dtype.kind not in "iu" or found.min() < 0 \
            or found.max() >= logits.shape[1]:
        raise UserError(f"target is an output from 0 to {logits.shape[1] - 1}, or one for each of the {len(logits)} "
                        f"examples. Received: {target!r}.")
    return found


def check_settings(method: str, function: Any, settings: Mapping[str, Any]) -> None:
    """Raise a UserError for a setting that a method does not have."""
    known = [name for name, parameter in inspect.signature(function).parameters.items()
             if parameter.kind is parameter.KEYWORD_ONLY]
    for name in settings:
        if name not in known:
            hint = nearest(name, known) if known else "It has none."
            raise UserError(f"{method} has no setting {name!r}. {hint}")
