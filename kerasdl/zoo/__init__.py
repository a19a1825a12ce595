"""The zoo: every model is a module with `build(image_shape, classes, *, ..., name) -> keras.Model`.

Input: images (B, H, W, C), uint8 or float, 0..255. Output: float32 logits (B, classes). Scaling is the first layer,
"scale", so a saved model takes raw pixels. The layer "features" is the representation, and "logits" is the head.

`body(image_shape, *, ..., name)` is the same network without its head, for an objective that has another one. Its
outputs are a dict: "features" (B, D), and, where the network has a last grid, "maps" (B, h, w, C).

Importing this package is light: the first model imports Keras.
"""

import difflib
import importlib
import inspect
import pathlib

MODELS = ("linear", "mlp", "residual_mlp", "alexnet", "vgg", "cnn", "resnet", "cell", "inception", "mobilenet",
          "convnext", "vit", "cct", "stages")  # the table of contents, simplest first
SEQUENCES = ("rnn", "conv1d", "transformer")  # their first argument is sequence_shape; see zoo/sequences.py
GENERATIVE = ("gan",)  # modules whose `build` returns a generator and a discriminator
NAMES = (*MODELS, *SEQUENCES, *GENERATIVE)


def unknown(what, given, known):
    """Return one line for a name that does not exist: what came, the nearest that does, and all of them."""
    known = [str(name) for name in known]
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {what} {given!r}.{hint} Expected one of: {', '.join(known)}."


def module(name: str):
    """Return the module of a model: `zoo.module("vit").SIZES`.

    Raises:
        ValueError: the zoo has no model of that name.
    """
    file_of(name)
    return importlib.import_module(f"{__name__}.{name}")


def file_of(name: str) -> pathlib.Path:
    """Return the file in which a model's `build` stands, without importing it.

    Raises:
        ValueError: the zoo has no model of that name.
    """
    if name not in NAMES:
        raise ValueError(unknown("model", name, NAMES))
    folder = pathlib.Path(__file__).parent
    return folder / name / "__init__.py" if (folder / name).is_dir() else folder / f"{name}.py"


def build(model: str, /, image_shape, classes: int, **args):
    """Build a model by name: `zoo.build("vit", (32, 32, 3), 10, size="Ti", patch=4)`.

    Args:
        model: one of MODELS, of SEQUENCES, or of GENERATIVE, which returns two networks.
        image_shape: (height, width, channels). "linear", "mlp" and "residual_mlp" also take an int, the number of
            columns of a table, and models of SEQUENCES (steps, numbers), or (steps,) of tokens.
        classes: number of outputs.
        **args: arguments of that model's own `build`.

    Returns:
        A functional keras.Model.

    Raises:
        ValueError: an unknown model, or an argument that the model does not have.
    """
    function = module(model).build
    check_args(function, args, model)
    return function(image_shape, classes, **args)


def body(model: str, /, image_shape, **args):
    """Build a model of MODELS without its head: `zoo.body("vit", (32, 32, 3), size="Ti", patch=4)`.

    Layers have the names that they have in `build`, so that weights fit from one to the other. Put another head on
    `network.output["features"]` or `network.output["maps"]`, and make a flat `keras.Model(network.input, ...)`.

    Args:
        model: one of MODELS or of SEQUENCES.
        image_shape: as in `build`.
        **args: arguments of that model's own `body`.

    Returns:
        A functional keras.Model with outputs {"features": (B, D), "maps": (B, h, w, C)}, in the precision of the
        policy; models of rows have no "maps", and models of SEQUENCES have "steps" (B, T, D) in their place.

    Raises:
        ValueError: an unknown model, or an argument that the body does not have.
    """
    if model not in (*MODELS, *SEQUENCES):
        raise ValueError(unknown("model", model, (*MODELS, *SEQUENCES)))
    function = module(model).body
    check_args(function, args, model)
    return function(image_shape, **args)


def arguments(model: str) -> list[str]:
    """Return the names of the arguments that a model's `build` takes after image_shape and classes."""
    return list(options(module(model).build))


def options(function) -> dict:
    """Return the optional and keyword-only parameters of a function, {name: inspect.Parameter}."""
    return {p.name: p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY
            or p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty}


def check_args(function, args, owner: str = "") -> None:
    """Check arguments of any `build` function before it is called.

    Args:
        function: it is not called. If it takes **kwargs, any name is accepted.
        args: {name: value}.
        owner: what the message calls the function; by default its module.

    Raises:
        ValueError: an argument that the function does not have, one that it has no default for and that is missing,
            or a value that is not a boolean where the default is one.
    """
    known, owner = options(function), owner or function.__module__.rpartition(".")[2]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    for key, value in args.items():
        if key not in known and not takes_any:
            raise ValueError(unknown(f"argument of {owner}", key, known))
        if key in known and isinstance(known[key].default, bool) and not isinstance(value, bool):  # bool("no") is True
            raise ValueError(f"Expected {key} to be true or false. Received: {value!r}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in args:
            raise ValueError(f"Expected a value for argument {key!r} of {owner}, which has no default.")


def check(model: str, args) -> None:
    """Check what can be known of a model's arguments before its input is: the names, and the size.

    Raises:
        ValueError: an unknown model, an argument that it does not have, or a size that is not in its table.
    """
    found = module(model)
    check_args(found.build, args, model)
    if "size" in args and args["size"] not in (sizes := getattr(found, "SIZES", {args["size"]})):
        raise ValueError(unknown("size", args["size"], sizes))


def features(model):
    """Return the network, sharing its weights, up to its representation (B, D).

    Raises:
        ValueError: the model has no layer named "features".
    """
    import keras

    representation = model.get_layer("features").output
    return keras.Model(model.input, representation, name=f"{model.name}_features")


def register():
    """Import every model, so that Keras knows the zoo's layers and can load a saved model."""
    for name in NAMES:
        module(name)
    for name in ("ensemble", "fake_quantized", "tf_idf", "trees"):
        importlib.import_module(f"{__name__}.{name}")
