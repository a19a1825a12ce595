"""Trained networks without a head, for images of any size."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl.zoo.weights import public
from kerasdl.zoo.weights.reading import load


def backbone(weights: str | Path, image_shape: Sequence[int]) -> Any:
    """Return a trained network without its head: raw pixels (B, H, W, 3), 0..255, in; features and maps out.

    Args:
        weights: a name that kerasdl.zoo.weights.public knows, or a .keras file of a model of the zoo.
        image_shape: (height, width, channels). A network for another size is made for this one.

    Returns:
        A functional keras.Model with outputs {"features": (B, D), "maps": (B, h, w, C)}; a .keras file may have no
        maps.

    Raises:
        ValueError: as `public.find` and `load` do; a file that is no model of the zoo, or an image that does not fit.
    """
    from kerasdl import zoo

    file, known = public.find(weights)
    if known is None:
        return of_file(file, tuple(image_shape))
    model = zoo.body(known.net, tuple(image_shape), **known.args)
    load(model, file, known.net, preprocessing=known.preprocessing)
    return model


def of_file(file: Path, image_shape: tuple[int, ...]) -> Any:
    """Return a model up to its representation, for images of a shape: {"features": (B, D)}, and "maps" if it has some.

    Args:
        file: a .keras file of a model of the zoo, such as `kerasdl weights import` or a run writes.
        image_shape: (height, width, channels).

    Raises:
        ValueError: another file, a model without the layer "features", or an image that does not fit it.
    """
    import keras

    from kerasdl import zoo

    if file.suffix != ".keras":
        raise ValueError(f"Expected the name of public weights, or a .keras file. Received: {file}. To make one of a "
                         f"file of weights: kerasdl weights import {file} --model MODEL --out FILE.keras")
    if not file.is_file():
        raise ValueError(f"There is no file {str(file)!r}.")
    zoo.register()
    try:
        model = keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} does not load as a Keras model: {' '.join(str(error).split())[:200]}") from None
    names = {layer.name for layer in model.layers}
    if "features" not in names or len(model.input_shape) != 4:
        raise ValueError(f"{file} is not a model of images from the zoo: it has no layer named 'features'.")
    return of_model(model, image_shape)


def of_model(model: Any, image_shape: tuple[int, ...]) -> Any:
    """Return what `of_file` does, of a model that has the layer "features"."""
    import keras

    outputs = {layer.name: layer.output for layer in model.layers if layer.name in ("features", "maps")}
    return resized(keras.Model(model.inputs[0], outputs, name=model.name), image_shape)


def resized(model: Any, image_shape: tuple[int, ...]) -> Any:
    """Return the same network for images of another shape, with the same weights.

    Raises:
        ValueError: another number of channels, or a network that takes images of one size only.
    """
    import keras

    from kerasdl import zoo
    from kerasdl.zoo.precision import with_weights

    if model.input_shape[1:] == image_shape:
        return model
    if model.input_shape[3] != image_shape[2]:
        raise ValueError(f"Expected images of {model.input_shape[3]} channels. Received: image_shape={image_shape}.")
    if "position" in {layer.name for layer in model.layers}:
        return zoo.module("vit").resize(model, image_shape)
    try:
        return with_weights(keras.models.clone_model(model, input_tensors=keras.Input(image_shape, name="image")),
                            model)
    except ValueError:
        raise ValueError(f"{model.name} takes images of {model.input_shape[1]}x{model.input_shape[2]} pixels only. "
                         f"Received: image_shape={image_shape}.") from None
