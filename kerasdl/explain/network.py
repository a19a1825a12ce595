"""A model as explanations see it: the numbers that gradients are taken of, values that say nothing, and its layers."""

from typing import Any

import keras
import numpy as np

from kerasdl.errors import UserError, nearest
from kerasdl.explain.gradients import BATCH, Differentiable
from kerasdl.gradients import ends_in_softmax
from kerasdl.zoo.ensemble import own_name
from kerasdl.zoo.trees import Trees

PLACES = {"image": 2, "row": 1, "sequence": 1, "tokens": 1}  # axes of a map: (H, W), (columns,) or (T,)


class Network:
    """A model with one answer for each class or number, (B, K).

    Its numbers are the raw examples in float32, or, of tokens, these embedded, because a token has no gradient. Where
    no single layer "embedding" makes vectors of them, as in TF-IDF and in an ensemble, they are the tokens themselves.

    Args:
        model: a model of the zoo, or another one: raw examples in, logits out.
        kind: what an example is; None: by the name of the model's input, as the zoo has it.
        batch: how many examples at once.

    Raises:
        UserError: several inputs, another output, probabilities in place of logits, or a kind that is not known.
    """

    def __init__(self, model: keras.Model, kind: str | None = None, batch: int = BATCH):
        if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
            shapes = ", ".join(str(tuple(output.shape)) for output in model.outputs)
            raise UserError("An explanation is of one answer an example: a model with one input and an output of shape "
                            f"(None, classes). Received: {len(model.inputs)} inputs, outputs {shapes}.")
        if ends_in_softmax(model):
            raise UserError(f"An explanation is of logits, and {model.name} ends in a softmax. Take it out.")
        self.model, self.kind, self.batch = model, kind or kind_of(model), batch
        self.classes = model.outputs[0].shape[1]
        self._at: dict[str, tuple[Differentiable, Differentiable]] = {}
        self.embedded = self.kind == "tokens" and any(layer.name == "embedding" for layer in model.layers)
        if self.embedded:
            self._embed, self._whole = self.at("embedding")
        else:
            self._whole = Differentiable(model, 0, batch)

    @property
    def without_gradient(self) -> str:
        """Why a gradient says nothing about the model; "" if it does."""
        if any(isinstance(layer, Trees) for layer in self.model.layers):
            return "The model is made of trees, which have no gradient."
        if self.kind == "tokens" and not self.embedded:
            return f"{self.model.name} has no single layer \"embedding\", and a token itself has no gradient."
        return ""

    @property
    def without_layers(self) -> str:
        """Why no single layer says what the model looks at; "" if one may."""
        if any(layer.name != own_name(layer.name) for layer in self.model.layers):
            return "The model is an ensemble, and each of its layers is of one member. Explain a member."
        return ""

    # Examples

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Return what gradients are taken of: x as float32; of tokens (N, T) their vectors (N, T, D)."""
        return self._embed.outputs(self.raw(x)) if self.embedded else self.raw(x)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Return examples as the model takes them: float32, tokens int32."""
        return np.asarray(x, "int32" if self.kind == "tokens" else "float32")

    def present(self, x: np.ndarray) -> np.ndarray:
        """Return which places of the maps are no padding, as booleans (N, H, W), (N, T) or (N, columns)."""
        if self.kind == "tokens":
            return np.asarray(x) != 0
        if self.kind == "sequence":
            return ~np.isnan(x).all(axis=-1)
        return np.ones(x.shape[:1 + PLACES[self.kind]], bool)

    def neutral(self, x: np.ndarray) -> np.ndarray:
        """Return numbers, shaped as `numbers` are, that stand for nothing: black, the training's mean of a column or
        of a step, the vector 0 of a token, or padding in its place. Padding stays padding."""
        numbers = self.numbers(x)
        if self.kind in ("image", "tokens"):
            return np.zeros_like(numbers)
        mean = self._mean_and_deviation(numbers.shape[-1])[0]
        return np.where(np.isnan(numbers), numbers, mean).astype("float32")

    def unit(self, x: np.ndarray) -> np.ndarray | float:
        """Return the training's deviation of each column or of each number of a step; 1 for pixels and tokens."""
        return 1.0 if self.kind in ("image", "tokens") else self._mean_and_deviation(np.shape(x)[-1])[1]

    # Answers

    def logits(self, x: np.ndarray, numbers: np.ndarray | None = None) -> np.ndarray:
        """Return the answers (N, K) float32 for examples, or for other numbers in their places."""
        return self._whole.outputs(*self._inputs(x, numbers))

    def gradients(self, x: np.ndarray, target: np.ndarray, numbers: np.ndarray | None = None
                  ) -> tuple[np.ndarray, np.ndarray]:
        """Return the logit of each example's target (N,), and its gradient by the numbers; 0 at padding."""
        score, gradient = self._whole.gradients(target, *self._inputs(x, numbers))
        return score, np.nan_to_num(gradient)

    def _inputs(self, x: np.ndarray, numbers: np.ndarray | None) -> tuple[np.ndarray, ...]:
        numbers = self.numbers(x) if numbers is None else numbers
        return (self.raw(x), np.asarray(numbers, "float32")) if self.embedded else (self.raw(numbers),)

    # Layers

    def layers_named(self, name: str) -> list[Any]:
        """Return the layer of this name; of an ensemble that of each member; [] if there is none."""
        return [layer for layer in self.model.layers if own_name(layer.name) == name]

    def layer(self, name: str) -> Any:
        """Return a layer by its name, or raise a UserError with the nearest one."""
        names = [layer.name for layer in self.model.layers]
        if name not in names:
            raise UserError(f"{self.model.name} has no layer {name!r}. {nearest(name, names)}")
        return self.model.get_layer(name)

    def unread(self, name: str) -> str:
        """Return "" or why a layer's values cannot be read: it is a model of its own, whose graph is another one."""
        if not isinstance(self.layer(name), keras.Model):
            return ""
        return f"{name!r} in {self.model.name} is a model of its own, and its layers cannot be read. Build it flat."

    def at(self, name: str) -> tuple[Differentiable, Differentiable]:
        """Return the model up to a layer, and from the layer on: (x,) -> values, (x, values) -> logits.

        What reaches the answer past the layer, as a shortcut or a mask, is computed from x in the second one.
        """
        if name not in self._at:
            if why := self.unread(name):
                raise UserError(why)
            values = self.layer(name).output
            values = values[0] if isinstance(values, (list, tuple)) else values
            self._at[name] = (Differentiable(keras.Model(self.model.input, values), 0, self.batch),
                              Differentiable(keras.Model([self.model.input, values], self.model.output), 1, self.batch))
        return self._at[name]

    def last(self, rank: int) -> str | None:
        """Return the last layer whose output has `rank` axes, except inputs and the layer "scale"; None: none has."""
        found = [layer.name for layer in self.model.layers
                 if layer.name != "scale" and not isinstance(layer, keras.layers.InputLayer)
                 and hasattr(layer.output, "shape") and len(layer.output.shape) == rank]
        return found[-1] if found else None

    def _mean_and_deviation(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation (F,) as the layer "scale" has them, or on average those of an ensemble; 0 and 1 if
        they are of other numbers."""
        known = [[np.asarray(keras.ops.convert_to_numpy(each)).reshape(-1) for each in scale.moments()]
                 for scale in self.layers_named("scale") if hasattr(scale, "moments")]
        fitting = [(mean, np.sqrt(variance)) for mean, variance in known if len(mean) == width]
        if not fitting:
            return np.zeros(width, "float32"), np.ones(width, "float32")
        mean, deviation = np.mean(fitting, axis=0)
        return mean, deviation


def kind_of(model: keras.Model) -> str:
    """Return what examples a model takes, by the name of its input.

    Raises:
        UserError: it is not one of the zoo's.
    """
    name = model.inputs[0].name
    if name not in PLACES:
        raise UserError(f"The input of {model.name} is called {name!r}. Expected {', '.join(PLACES)}, as in the zoo, "
                        "or say what an example is: kind=\"image\".")
    return name
