"""Optimizers, learning-rate schedules and durations, from the words of a recipe."""

import math
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.optimizers import schedules

from kerasdl.devices import distribute_fixes
from kerasdl.errors import UserError
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.train import fast_layers
from kerasdl.train.layer_decay import shares

LONG = 2  # sides' ratio from which Muon iterates on the Gram matrix; both ways are as much work at 1.5
CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def duration(length: int | str, steps: int, total: int) -> int:
    """Steps in a duration: "5%" of the `total`, "3 epochs" of `steps` each, or a plain number of steps.

    Raises:
        UserError: if it cannot be read, or is longer than the run.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|epochs?|steps?)?\s*", str(length))
    if not found:
        raise UserError(f"A duration is written '5%', '3 epochs' or 1000. Received: {length!r}.")
    number, unit = float(found[1]), found[2] or "steps"
    count = round(number * {"%": total / 100, "e": steps, "s": 1}[unit[0]])
    if count > total:
        raise UserError(f"The duration {length!r} is {count} steps; the run has {total}.")
    return count


def schedule(recipe: Recipe, steps: int) -> schedules.LearningRateSchedule:
    """The learning rate of each step of a run with `steps` steps an epoch.

    "constant" stays at lr; "cosine" falls to 0 (Loshchilov & Hutter, 2017); "onecycle" starts at lr / 25, rises for the
    warm-up (30 % of the run unless the recipe says otherwise) and falls to 0 (Smith & Topin, 2018); "step" divides by
    10 after a half and after three quarters of the run (He et al., 2015). All but onecycle warm up from 0.
    """
    total = steps * recipe.epochs
    warmup = duration(recipe.warmup, steps, total)
    if recipe.schedule == "step":
        return StepDecay(recipe.lr, total, warmup)
    if recipe.schedule == "onecycle":
        warmup = warmup or duration("30%", steps, total)
    start = recipe.lr / 25 if recipe.schedule == "onecycle" else 0.0
    floor = 1.0 if recipe.schedule == "constant" else 0.0
    rise = {"warmup_target": recipe.lr, "warmup_steps": warmup} if warmup else {}
    return schedules.CosineDecay(start if warmup else recipe.lr, max(total - warmup, 1), alpha=floor, **rise)


def rates(recipe: Recipe, steps: int) -> np.ndarray:
    """Return the learning rate of each step of the run (steps * epochs,).

    By the formula of schedule, all at once: the schedule itself takes one step at a time, or a second to be vectorised.
    """
    made, step = schedule(recipe, steps), np.arange(steps * recipe.epochs, dtype="float64")
    if isinstance(made, StepDecay):
        return ops.convert_to_numpy(made(step))
    own = made.get_config()
    start, warmup = own["initial_learning_rate"], own["warmup_steps"]
    peak = start if own["warmup_target"] is None else own["warmup_target"]
    gone = np.clip((step - warmup) / own["decay_steps"], 0, 1)
    fallen = peak * (own["alpha"] + (1 - own["alpha"]) * (1 + np.cos(np.pi * gone)) / 2)
    return np.where(step < warmup, start + (peak - start) * step / max(warmup, 1), fallen)


@keras.saving.register_keras_serializable(package="kerasdl")
class StepDecay(schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then a tenth of it after half of `total` steps and a hundredth after three quarters."""

    def __init__(self, peak, total, warmup=0):
        self.peak, self.total, self.warmup = peak, total, warmup

    def __call__(self, step):
        step = ops.cast(step, "float32")
        drops = ops.cast(step >= self.total / 2, "float32") + ops.cast(step >= self.total * 3 / 4, "float32")
        rise = ops.minimum(1.0, step / self.warmup) if self.warmup else 1.0
        return self.peak * rise * ops.power(0.1, drops)

    def get_config(self):
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup}


def optimizer(recipe: Recipe, model: keras.Model, steps: int, clip_after_reduce: bool = False,
              sums_rows: bool = True) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for this model; weight decay is decoupled and falls on kernels only.

    Biases, normalisation scales, position embeddings and class tokens do not decay. Muon (Jordan et al., 2024) is for
    the kernels of hidden layers; everything else goes to AdamW. With `layer_decay` the rate of a layer is smaller the
    further it lies below the head; see shares.

    Args:
        clip_after_reduce: under replicas; see kerasdl.devices.distribute_fixes.
        sums_rows: whether the gradients of an embedding's row, of which a batch may have several, are summed first.

    Raises:
        UserError: if more than one kind of clipping is asked for, or a setting that the optimizer does not have.
    """
    rate = schedule(recipe, steps)
    decay = recipe.weight_decay or None
    clip = {key: value for key in CLIPS if (value := getattr(recipe, key))}
    if len(clip) > 1:
        raise UserError(f"Choose one of {', '.join(CLIPS)}. Received: {' and '.join(clip)}.")

    def make(optimizer: type[keras.optimizers.Optimizer], **arguments):
        if recipe.layer_decay < 1:
            optimizer = layer_wise(optimizer, shares(model, recipe.layer_decay))
        if clip and clip_after_reduce:
            optimizer = distribute_fixes.clip_after_reduce(optimizer)
        if sums_rows and not backend.jax():
            optimizer = summing_rows(optimizer)
        return optimizer(rate, **arguments, **clip)

    own = recipe.optimizer_settings
    if recipe.optimizer == "sgd":
        made = make(keras.optimizers.SGD, momentum=own.momentum, nesterov=own.momentum > 0, weight_decay=decay)
    elif recipe.optimizer == "lion":
        made = make(keras.optimizers.Lion, weight_decay=decay)
    elif recipe.optimizer == "muon":
        made = make(Muon, kernel_rms=own.kernel_rms, ns_steps=own.ns_steps, momentum=own.momentum,
                    weight_decay=decay, adam_weight_decay=decay, exclude_layers=["logits"])
    else:
        kind = keras.optimizers.AdamW if backend.jax() else fast_layers.AdamW
        made = make(kind, weight_decay=recipe.weight_decay, beta_1=own.betas[0], beta_2=own.betas[1])
    if decay:
        made.exclude_from_weight_decay([v for v in model.trainable_variables if not is_kernel(v)])
    return made


def summing_rows(optimizer: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return the optimizer's class, which sums the gradient of each row of an embedding before its step.

    TensorFlow gives a row for each place in a batch where a token stands. Keras clips each of them by itself, and adds
    their squares to Adam's second moment in place of the square of their sum, which it takes on JAX.
    """

    class SummingRows(optimizer):
        def apply(self, grads, trainable_variables=None):
            super().apply([dense(grad) for grad in grads], trainable_variables)

    SummingRows.__name__ = keras.saving.get_registered_name(optimizer)
    return SummingRows


def dense(gradient: Any) -> Any:
    """Return a gradient as one tensor; None and tensors stay as they are."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


@keras.saving.register_keras_serializable(package="kerasdl")
class Muon(keras.optimizers.Muon):
    """Keras' Muon for every kernel that is a matrix by nature, and AdamW for everything else.

    Filters (H, W, I, O) are a matrix of H x W x I rows, as in Jordan et al. 2024, and the queries, keys and values
    (D, heads, D / heads) of attention one of D rows. Keras goes by the number of axes: it leaves both to AdamW, and
    takes an attention's biases for matrices.

    Args:
        learning_rate: the highest rate, or a schedule.
        kernel_rms: root mean square that a matrix is scaled to before each step, as in Jordan's CIFAR-10 program;
            0: its length is its own. That of a step is learning_rate x rms_rate or less, so that the quotient of both
            is the share of the matrix that changes, and weight decay does nothing to it. For kernels that a
            normalisation follows.
        arguments: of keras.optimizers.Muon.
    """

    def __init__(self, learning_rate=0.001, *, kernel_rms=0.0, **arguments):
        super().__init__(learning_rate, **arguments)
        self.kernel_rms = kernel_rms

    def build(self, variables):
        super().build(variables)
        self.matrices = tuple(matrix_shape(variable) for variable in variables)

    def _should_use_adamw(self, variable):
        if not is_kernel(variable) or min(matrix_shape(variable)) == 1:  # filters of a depthwise convolution have 1
            return True
        return any(re.search(name, variable.path) for name in self.exclude_layers)

    def zeropower_via_newtonschulz5(self, x, steps):
        """Keras' iteration. Each step multiplies X by a polynomial in its Gram matrix, whose sides are the shorter one.

        Of a long X the product of these polynomials is made first, so that only two products have the longer side.
        """
        rows, columns = x.shape
        if max(rows, columns) < LONG * min(rows, columns):
            return super().zeropower_via_newtonschulz5(x, steps)
        x = x / (ops.norm(x) + 1e-7)
        gram = ops.transpose(x) @ x if rows > columns else x @ ops.transpose(x)
        unit, whole = ops.eye(gram.shape[0], dtype=x.dtype), None
        for step in range(steps):
            factor = self.muon_a * unit + self.muon_b * gram + self.muon_c * (gram @ gram)
            whole = factor if whole is None else factor @ whole  # they commute, as polynomials in one matrix do
            if step < steps - 1:
                gram = factor @ gram @ factor
        return x @ whole if rows > columns else whole @ x

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        gradient = gradient + self.momentum * m if self.nesterov else m
        gradient = ops.reshape(gradient, self.matrices[self._get_variable_index(variable)])
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(gradient, self.ns_steps))
        update = ops.reshape(update, variable.shape)
        if self.kernel_rms:
            rms = ops.sqrt(ops.mean(ops.square(variable)))
            self.assign(variable, variable * (self.kernel_rms / (rms + 1e-7)) - update)
        else:
            self.assign_sub(variable, update)

    def get_config(self):
        return super().get_config() | {"kernel_rms": self.kernel_rms}


def matrix_shape(variable: keras.Variable) -> tuple[int, int]:
    """Rows and columns, which of a layer's kernel are its inputs and its outputs."""
    split = re.search(r"\b(query|key|value)/kernel$", variable.path)
    columns = math.prod(variable.shape[1:] if split else variable.shape[-1:])
    return math.prod(variable.shape) // columns, columns


def layer_wise(optimizer: type[keras.optimizers.Optimizer], shares: Mapping[str, float]
               ) -> type[keras.optimizers.Optimizer]:
    """The optimizer's class, taking of the learning rate for each variable the share that its path has in `shares`.

    Decoupled weight decay is the learning rate times a constant, and so has the same share. Both of Muon's rules do.
    """
    own = issubclass(optimizer, fast_layers.AdamW)  # decays in update_step already, by the rate that it is given

    class LayerWise(optimizer):
        def build(self, variables):
            super().build(variables)
            self.shares = tuple(shares[variable.path] for variable in variables)

        def _apply_weight_decay(self, variables):
            pass

        def update_step(self, gradient, variable, learning_rate):
            rate = ops.cast(learning_rate, variable.dtype) * self.shares[self._get_variable_index(variable)]
            if self.weight_decay and not own and self._use_weight_decay(variable):
                self.assign(variable, variable * (1 - rate * self.weight_decay))
            super().update_step(gradient, variable, rate)

    LayerWise.__name__ = keras.saving.get_registered_name(optimizer)
    return LayerWise


def is_kernel(variable: keras.Variable) -> bool:
    """Whether weight decay applies: the matrices and filters of dense, attention and convolution layers."""
    return variable.name == "kernel"
