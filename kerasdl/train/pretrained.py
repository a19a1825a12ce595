"""Where a network begins if not at random: with a trained model's weights, layer by layer. And what does not learn."""

import hashlib
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives, user_code, zoo
from kerasdl.data import Split
from kerasdl.data.split import check_columns, check_offsets
from kerasdl.data.tokens import FILE
from kerasdl.errors import UserError, listed, nearest
from kerasdl.files import whole, write_json
from kerasdl.recipe import Recipe
from kerasdl.run import INIT, Run, load_model, weights_file
from kerasdl.zoo import vit
from kerasdl.zoo.blocks import set_weights
from kerasdl.zoo.precision import in_float32, policies
from kerasdl.zoo.weights.bodies import of_model

logger = logging.getLogger(__name__)
FEATURES = "features"


@dataclass(frozen=True)
class Pretrained:
    """A trained model to begin with.

    Attributes:
        file: the model.
        facts: for result.json: where it was found, of which recipe and seed if that is known, a hash of its weights.
        classes: their names; None where only a file is known.
        columns: of a table, as a run's data.json has them; None where only a file is known.
        weights: of each layer, in the order of the graph.
        grid: rows and columns of its patches, if it has any.
        tokens: the tokenizer.json of a run on texts.
        changed: whether it is of a training that changed the network's form, by prune_channels or quantize, or that
            began with such a one.
        run: that it comes from, where a training begins with one.
        settings: of each layer what belongs to its weights: the scale and offset of pixels, the epsilon of a norm.
    """

    file: Path
    facts: Mapping[str, Any]
    classes: Sequence[str] | None
    columns: Mapping[str, Sequence[str] | None] | None
    weights: Mapping[str, list[np.ndarray]]
    grid: tuple[int, int] | None
    tokens: str | None = None
    changed: bool = False
    run: Run | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read(recipe: Recipe, before: Run | None = None) -> Pretrained | None:
    """What the recipe's `init` names, or the copy of it in the run that goes on; None without `init`.

    Raises:
        UserError: there is no such run or file, or it holds no model of ours.
    """
    if not recipe.init:
        return None
    if before and (before.path / INIT).is_file() and (before.path / "init.json").is_file():
        file, facts, run = before.path / INIT, dict(before.origin), None
    else:
        file, facts, run = source(recipe.init)
    for owner in [run.path] if run else [before.path, (before.path / INIT).parent] if before else []:
        user_code.register(owner)
    classes, columns, tokens = facts.pop("classes"), facts.pop("columns", None), facts.pop("tokens", None)
    model = load_model(file, f"init={recipe.init}: ")
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    return Pretrained(file, facts | {"weights": fingerprint(weights)}, classes, columns, weights, grid_of(model),
                      tokens, facts.get("changed", False), run, settings_of(model))


def settings_of(model: keras.Model) -> dict[str, dict[str, Any]]:
    """Return {layer: {attribute: value}} of what is no weight and has to be as it was when weights were learned."""
    found = {}
    for layer in model.layers:
        keys = ("scale", "offset") if isinstance(layer, keras.layers.Rescaling) else ("epsilon",)
        if own := {key: getattr(layer, key) for key in keys if hasattr(layer, key)}:
            found[layer.name] = own
    return found


def source(init: str) -> tuple[Path, dict[str, Any], Run | None]:
    """The file that `init` names, what is known of it, and the run: its recipe, seed and classes are known."""
    file = weights_file(init)
    run = Run(file.parent)
    if file.name != "model.keras" or not (run.path / "recipe.json").is_file() or not (run.path / "data.json").is_file():
        return file, {"init": init, "classes": None, "columns": None}, None
    return file, {"init": init, "recipe": run.recipe.name or run.recipe.model, "seed": run.recipe.seed,
                  "classes": run.data["classes"], "columns": run.data.get("columns"),
                  **({"changed": True} if is_changed(run) else {}),
                  **({"private": True} if run.holds_private else {}),
                  "tokens": (run.path / FILE).read_text(encoding="utf-8") if (run.path / FILE).is_file() else None}, run


def is_changed(run: Run) -> bool:
    """Return whether a run's network has another form than its recipe's: it, or what it began with, was compressed."""
    return bool(run.recipe.prune_channels or run.recipe.quantize) or \
        (run.path / "init.json").is_file() and run.origin.get("changed", False)


def check_fits(pretrained: Pretrained, split: Split, name: str) -> None:
    """Raise a UserError for data whose columns or tokens are others than the weights were learned with: each has the
    place and the scale of one there.

    Args:
        name: what to call the trained model.
    """
    if pretrained.columns:
        check_columns(pretrained.columns, split.columns, name)
    if pretrained.tokens and pretrained.tokens != split.files.get(FILE, pretrained.tokens):
        raise UserError(f"{name} was trained with another tokenizer, so that its numbers stand for other tokens. Give "
                        f"data_args.tokens={pretrained.facts['init']}.")
    if pretrained.run:
        check_offsets(pretrained.run.data.get("reading"), split.reading, name)


def fingerprint(weights: Mapping[str, Sequence[np.ndarray]]) -> str:
    """SHA-256 of all weights with their layers' names, whatever the file around them."""
    seen = hashlib.sha256()
    for name, arrays in weights.items():
        for array in arrays:
            seen.update(f"{name} {array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return seen.hexdigest()


def body(run: Run | str | Path, image_shape: Sequence[int] | None = None) -> keras.Model:
    """Return a run's network of images up to its representation: raw pixels (B, H, W, C), 0..255, in; features out.

    The layers of what learned without labels are called as those of a classifier, also where its model is another one,
    such as that of a masked autoencoder, whose encoder reads all patches here.

    Args:
        run: a finished run, or its folder.
        image_shape: (height, width, channels); None: that of the run.

    Returns:
        A functional keras.Model with outputs {"features": (B, D), "maps": (B, h, w, C)}; it may have no maps.

    Raises:
        UserError: a run that is not finished, without such a layer, or of examples that do not fit.
    """
    run = Run.open(run)
    if run.data["kind"] != "image":
        raise UserError(f"{run.path} is of {run.data['kind']} examples, and not of images.")
    shape, trained = tuple(image_shape or run.data["shape"]), run.model()
    try:
        if FEATURES in {layer.name for layer in trained.layers} and trained.input_shape[-1] == shape[-1]:
            return of_model(trained, shape)
        args = {**objectives.get(run.recipe.objective, run.path).classifier_args, **run.recipe.model_args}
        network = zoo.body(run.recipe.model, shape, **{key: args[key] for key in args if key != "weights"})
    except ValueError as error:
        raise UserError(f"{run.path} has no network up to a layer {FEATURES!r}: {' '.join(str(error).split())}"
                        ) from None
    initial = read(run.recipe.override(init=str(run.path)))
    assert initial
    if new := account(network, initial, ())["new"]:
        raise UserError(f"{run.path} has no weights for {', '.join(new)} of {run.recipe.model} in images of {shape}.")
    load_into(network, initial, run.recipe.override(freeze=()), ())
    return network


def continued(network: keras.Model, pretrained: Pretrained) -> keras.Model:
    """Return the trained network itself, in place of one of the recipe, where a training has changed its form.

    Raises:
        UserError: it takes or gives something else than the recipe's network.
    """
    if not pretrained.changed:
        return network
    found = load_model(pretrained.file)
    if policies(network) == {"float32"}:
        found = in_float32(found)
    for what, ours, theirs in (("takes", network.input_shape, found.input_shape),
                               ("answers with", network.output_shape, found.output_shape)):
        if ours != theirs:
            raise UserError(f"init={pretrained.facts['init']} was compressed, so that it is trained on as it is. It "
                            f"{what} {theirs}, and this training needs {ours}.")
    return found


def load_into(network: keras.Model, pretrained: Pretrained | None, recipe: Recipe, classes: Sequence[str]) -> None:
    """Give the network the weights that fit it, and freeze what the recipe says.

    Raises:
        UserError: if no layer fits, a pattern of `freeze` names no layer, or nothing is left to learn.
    """
    found = matching_layers(network, pretrained, classes) if pretrained else {}
    for name, (arrays, _) in found.items():
        set_weights(network.get_layer(name), arrays)
    settings = pretrained.settings if pretrained else {}
    for layer in network.layers:
        if layer.name in found or isinstance(layer, keras.layers.Rescaling):
            for key, value in settings.get(layer.name, {}).items():
                fits = np.size(value) in (1, layer.output.shape[-1])
                setattr(layer, key, value if fits else float(np.mean(value)))  # of three channels, for grey images
    if recipe.freeze:
        freeze(network, recipe.freeze)


def matching_layers(network: keras.Model, pretrained: Pretrained, classes: Sequence[str]
                    ) -> dict[str, tuple[list[np.ndarray], str]]:
    """{layer: (the weights it begins with, "" or how they were made to fit)}; a layer that is not in it begins anew.

    Raises:
        UserError: if there is none.
    """
    found = {}
    for layer in network.layers:
        theirs = pretrained.weights.get(layer.name)
        head = layer.name == "logits" and pretrained.classes is not None and list(pretrained.classes) != list(classes)
        if theirs and layer.weights and not head and (
                fitted := adapt_shape(layer, theirs, pretrained, grid_of(network))):
            found[layer.name] = fitted
    if not found:
        raise UserError(f"init={pretrained.facts['init']}: no layer of {network.name} has the name and shape of one "
                        f"there. It has {', '.join(pretrained.weights)}; {network.name} has "
                        f"{', '.join(learned(network))}.")
    return found


def adapt_shape(layer: keras.layers.Layer, theirs: Sequence[np.ndarray], pretrained: Pretrained,
                new: tuple[int, int] | None) -> tuple[list[np.ndarray], str] | None:
    """Their weights in the layer's shapes, and how; None where that cannot be.

    Position embeddings are resized on the grid of patches (Dosovitskiy et al. 2020, section 3.2), and convolutions of
    images of 1 or 3 channels fitted to 3 or 1; see `between_channels`.
    """
    own, old = layer.get_weights(), pretrained.grid
    if len(own) != len(theirs):
        return None
    same = all(a.shape == b.shape for a, b in zip(own, theirs, strict=True))
    if isinstance(layer, vit.PositionEmbedding) and old and new and not (same and old == new):
        return positions(own[0], theirs[0], old, new)  # 4x4 patches are as many as 2x8
    if same:
        return list(theirs), ""
    if isinstance(layer, keras.layers.Conv2D) and {own[0].shape[2], theirs[0].shape[2]} == {1, 3} \
            and np.delete(own[0].shape, 2).tolist() == np.delete(theirs[0].shape, 2).tolist():
        count, (kernel, rest) = own[0].shape[2], between_channels(theirs[0], own[0].shape[2], pretrained.settings)
        fitted = [kernel, *(bias + rest for bias in theirs[1:2] if layer.use_bias)]
        offsets = "" if np.allclose(rest, 0, atol=1e-6) else ", whose offsets differ"
        return [*fitted, *theirs[len(fitted):]], f"{theirs[0].shape[2]} -> {count} channels{offsets}"
    return None


def between_channels(kernel: np.ndarray, count: int, settings: Mapping[str, Mapping[str, Any]]
                     ) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel (h, w, channels, filters) of a convolution of images for `count` channels, and what its bias
    gains (filters,), so that it answers to grey images as before.

    A pixel p of theirs comes scaled as s_c p + o_c, and here as s p + o, with the means over the channels:

        sum_c k_c (s_c p + o_c) = K (s p + o) + rest,  K = sum_c k_c s_c / s,  rest = sum_c k_c (o_c - o s_c / s)

    The rest is lost without a bias, and it is too large at padding, which is not scaled.
    """
    channels = kernel.shape[2]
    found = next((each for each in settings.values() if channels in map(np.size, each.values())), {})
    scale, offset = (np.broadcast_to(found.get(key, other), channels) for key, other in (("scale", 1), ("offset", 0)))
    shares = scale / scale.mean()
    total = (kernel * shares[:, None]).sum(2, keepdims=True)
    rest = (kernel * (offset - shares * offset.mean())[:, None]).sum((0, 1, 2))
    return np.repeat(total / count, count, 2).astype(kernel.dtype), rest.astype(kernel.dtype)


def positions(own: np.ndarray, theirs: np.ndarray, old: tuple[int, int], new: tuple[int, int]
              ) -> tuple[list[np.ndarray], str] | None:
    """Their table on the new grid; a class token that only one of the two has keeps the place that it has anew."""
    if own.shape[2] != theirs.shape[2]:
        return None
    tokens = own.shape[1] - math.prod(new)
    table = keras.ops.convert_to_numpy(vit.stretch(theirs, old, new))
    if theirs.shape[1] - math.prod(old) != tokens:
        table = np.concatenate([own[:, :tokens], table[:, -math.prod(new):]], axis=1)
    return [table], f"{old[0]}x{old[1]} -> {new[0]}x{new[1]} patches"


def grid_of(network: keras.Model) -> tuple[int, int] | None:
    """Rows and columns of patches, of a Vision Transformer."""
    return next((tuple(layer.output.shape[1:3]) for layer in network.layers if layer.name == "patches"), None)


def freeze(network: keras.Model, what: str | Sequence[str]) -> None:
    """Let the layers that these patterns name learn nothing: their weights, and the statistics of their norms, stay.

    Args:
        what: names, in which * stands for any letters; "features" alone is every layer up to the representation.
    """
    names = learned(network)
    for pattern in listed(what, [FEATURES, *names]):
        chosen = before_head(network) if pattern == FEATURES else [name for name in names if fnmatchcase(name, pattern)]
        if not chosen and pattern != FEATURES:
            raise UserError(f"freeze={pattern}: no layer with weights has such a name. "
                            f"{nearest(pattern, [FEATURES, *names])}")
        for name in chosen:
            network.get_layer(name).trainable = False
    if not network.trainable_weights:
        raise UserError(f"freeze={what} leaves nothing to learn. The layers are: {', '.join(names)}.")


def thaw(network: keras.Model) -> None:
    """Undo `freeze`: a saved model is an ordinary one, however it was trained."""
    for name in learned(network):
        network.get_layer(name).trainable = True


def learned(network: keras.Model) -> list[str]:
    """The layers that have weights."""
    return [layer.name for layer in network.layers if layer.weights]


def before_head(network: keras.Model) -> list[str]:
    """Those of them up to the representation."""
    names = [layer.name for layer in network.layers]
    if FEATURES not in names:
        raise UserError(f"freeze={FEATURES} is every layer up to the layer {FEATURES!r}, and {network.name} has none "
                        f"of that name. Name the layers that are not to learn: {', '.join(learned(network))}.")
    up_to = set(names[:names.index(FEATURES) + 1])
    return [name for name in learned(network) if name in up_to]


def note(run: Run, pretrained: Pretrained, begun: Mapping[str, Any]) -> None:
    """Write init.json, with the account `begun`, and a copy of the model, and of the code of its layers, for as long as
    the run is not finished; all of them, or what was read is none of theirs."""
    if (run.path / "init.json").exists() and (run.path / INIT).exists():
        return
    with run.writing():
        (run.path / INIT).parent.mkdir(parents=True, exist_ok=True)
        if pretrained.run and (code := pretrained.run.path / user_code.CODE).is_dir():
            shutil.copytree(code, (run.path / INIT).with_name(user_code.CODE), dirs_exist_ok=True)
        with whole(run.path / INIT) as partial:
            shutil.copyfile(pretrained.file, partial)
        known = {"classes": pretrained.classes, "columns": pretrained.columns, "changed": pretrained.changed}
        write_json(run.path / "init.json", {**pretrained.facts, **known, **begun})


def account(network: keras.Model, pretrained: Pretrained, classes: Sequence[str]) -> dict[str, Any]:
    """Which layers were taken as they are, which were made to fit, and which begin anew."""
    found = matching_layers(network, pretrained, classes)
    return {"taken": [name for name, (_, how) in found.items() if not how],
            "fitted": {name: how for name, (_, how) in found.items() if how},
            "new": [name for name in learned(network) if name not in found]}


def summary(pretrained: Pretrained, begun: Mapping[str, Any]) -> str:
    """One line for the log, of an account."""
    facts = pretrained.facts
    whose = f" ({facts['recipe']}, seed {facts['seed']})" if "recipe" in facts else ""
    parts = [f"{len(begun['taken'])} layers taken", *(f"{name} {how}" for name, how in begun["fitted"].items()),
             f"new: {', '.join(begun['new']) or 'none'}"]
    return f"init {facts['init']}{whose}: {'; '.join(parts)}"
