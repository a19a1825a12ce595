"""The recipe's model with an answer for each token, for objectives that predict tokens or tags."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from kerasdl import user_code, zoo
from kerasdl.data.split import Split
from kerasdl.errors import UserError
from kerasdl.objectives.base import build_args, build_model, shown
from kerasdl.recipe import Recipe


def token_model(recipe: Recipe, split: Split, shape: Sequence[int], run: Path | None = None, **fixed: Any
                ) -> keras.Model:
    """Build the recipe's model from tokens (B, T) to logits (B, T, tokens), over the whole vocabulary.

    Args:
        recipe: its `model`, one of the zoo's with `build_language`, or a file whose function gives such a model.
        split: the data, whose vocabulary it is.
        shape: (T,) the most tokens that it is given.
        run: as in `build_model`.
        **fixed: arguments that the objective decides, which the model takes if it has them.

    Raises:
        UserError: a model of the zoo that gives no answer for each token, or one of `fixed` that the recipe has, too,
            with another value.
    """
    vocabulary = split.build_args["vocabulary"]
    if user_code.is_reference(recipe.model):
        return checked(build_model(recipe, split, vocabulary, run=run, shape=shape), vocabulary, recipe)
    build = getattr(zoo.module(recipe.model), "build_language", None)
    if build is None:
        able = [name for name in zoo.SEQUENCES if hasattr(zoo.module(name), "build_language")]
        raise UserError(f"objective={recipe.objective} needs a model that answers for each token: {', '.join(able)}. "
                        f"Received: {recipe.model}.")
    args = build_args(build, recipe, split)
    zoo.check_args(build, args, recipe.model)
    fixed = {key: value for key, value in fixed.items() if key in zoo.options(build)}
    for key, value in fixed.items():
        if args.get(key, value) != value:
            raise UserError(f"objective={recipe.objective} needs model_args.{key}={value}, and sets it itself. "
                            f"Received: {args[key]}. Leave it out.")
    return build(tuple(shape), **args | fixed)


def checked(model: keras.Model, outputs: int, recipe: Recipe) -> keras.Model:
    """Return a model, after a look at its answers.

    Raises:
        UserError: they are not (B, T, outputs).
    """
    if len(model.output_shape) != 3 or model.output_shape[-1] != outputs:
        raise UserError(f"objective={recipe.objective} needs a network that answers with (B, T, {outputs}) for this "
                        f"data. {recipe.model} answers with {shown(model.output_shape)}.")
    return model
