"""The zoo: every model is a module with `build(image_shape, classes, *, ..., name) -> keras.Model`.

Images (B, H, W, C), uint8 or float, 0..255, go in; float32 logits (B, classes) come out. The layer called
"features" holds the representation, "logits" is the head, and scaling is the first layer, "scale", so a saved
model takes raw pixels.

Importing this package is light: Keras arrives with the first model.
"""

import difflib
import importlib
import inspect

MODELS = ("linear", "mlp", "cnn", "resnet", "vit", "cct")  # the table of contents, simplest first
GENERATIVE = ("gan",)  # modules whose `build` gives a generator and a discriminator


def unknown(what, given, known):
    """One line for a name that does not exist: what came, the nearest that does, and all of them."""
    known = [str(name) for name in known]
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {what} {given!r}.{hint} Expected one of: {', '.join(known)}."


def module(name: str):
    """The module of a model: `zoo.module("vit").SIZES`.

    Raises:
        ValueError: the zoo has no model of that name.
    """
    if name not in (*MODELS, *GENERATIVE):
        raise ValueError(unknown("model", name, (*MODELS, *GENERATIVE)))
    return importlib.import_module(f"{__name__}.{name}")


def build(model: str, /, image_shape, classes: int, **args):
    """Builds a model by name: `zoo.build("vit", (32, 32, 3), 10, size="Ti", patch=4)`.

    Args:
        model: one of MODELS; or of GENERATIVE, which give two networks.
        image_shape: (height, width, channels), or for "linear" and "mlp" also an int: the number of columns
            of a table.
        classes: number of outputs.
        **args: what that model's own `build` takes.

    Returns:
        A functional keras.Model.

    Raises:
        ValueError: an unknown model, or an argument which that model does not take.
    """
    function = module(model).build
    known = {p.name: p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key, value in args.items():
        if key not in known:
            raise ValueError(unknown(f"argument of {model}", key, known))
        if isinstance(known[key].default, bool) and not isinstance(value, bool):  # "no" is true to Python
            raise ValueError(f"Expected {key} to be true or false. Received: {value!r}")
    return function(image_shape, classes, **args)


def features(model):
    """The same network, sharing its weights, stopped at its representation: (B, width) comes out.

    Raises:
        ValueError: the model has no layer named "features".
    """
    import keras

    representation = model.get_layer("features").output
    return keras.Model(model.input, representation, name=f"{model.name}_features")


def register():
    """Imports every model, so that Keras knows the zoo's layers and can load a saved model."""
    for name in (*MODELS, *GENERATIVE):
        module(name)
    importlib.import_module(f"{__name__}.ensemble")
