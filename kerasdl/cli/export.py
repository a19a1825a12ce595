"""`kerasdl export`: a run's model in a format that other libraries read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kerasdl.cli.terminal import AsJson, print_field, print_json, quiet
from kerasdl.errors import UserError

SUFFIXES = {"safetensors": ".safetensors"}  # of each format


def export_model(source: Annotated[str, typer.Argument(metavar="RUN", help="folder of a run, or a .keras file")],
                 form: Annotated[Literal["safetensors"], typer.Option(
                     "--format", help="safetensors: the weights, in the names of another library")] = "safetensors",
                 names: Annotated[str | None, typer.Option(
                     help="whose names: hf (Hugging Face), timm or torchvision; by default the first of them that "
                          "builds such a network")] = None,
                 model: Annotated[str | None, typer.Option(
                     help="model of the zoo in a .keras file; by default the name that the file has for it")] = None,
                 out: Annotated[Path | None, typer.Option(
                     metavar="FILE", help="the file to write; by default next to the model")] = None,
                 as_json: AsJson = False) -> None:
    """Write a run's trained model for another library, and print the preprocessing that goes with it."""
    from kerasdl import zoo
    from kerasdl.run import Run, load_model
    from kerasdl.zoo import weights

    run = None if source.endswith(".keras") else Run.open(source)
    file = run.model_file if run else Path(source)
    if not file.is_file():
        raise UserError(f"There is no file {file}.")
    net = run.recipe.model if run else model
    out = out or file.with_suffix(SUFFIXES[form])
    if out.suffix != SUFFIXES[form]:
        raise UserError(f"--format {form} is written to a {SUFFIXES[form]} file. Received: {out}.")
    if net:
        check(net, names)
    with quiet():
        from kerasdl.files import whole, writing
        loaded = run.model() if run else load_model(file)
    if not net and loaded.name not in zoo.MODELS:
        raise UserError(f"{file} holds a model named {loaded.name!r}. Say which model of the zoo it is: --model vit")
    classes = run.data.get("classes") or () if run else ()
    try:
        with writing(out, "Name another file with --out."), whole(out) as partial:
            header = weights.save(loaded, partial, net or loaded.name, names, classes)
    except (ValueError, ImportError) as error:
        raise UserError(" ".join(str(error).split())) from None
    if as_json:
        print_json({"file": out, "format": form, **header})
    else:
        print_header(out, header)


def check(net: str, names: str | None) -> None:
    """Raise a UserError for a network without names of others, and for names that it does not have."""
    from kerasdl.zoo import weights

    try:
        known = weights.sources(net)
    except ValueError as error:
        raise UserError(str(error)) from None
    if names is not None and names not in known:
        raise UserError(f"{net} is not written in the names of {names!r}. Expected --names {' or '.join(known)}.")


def print_header(out: Path, header: dict[str, Any]) -> None:
    """Print what a reader of the file has to know, which is in its header, too."""
    print_field("file", f"{out}, {header['model']} in the names of {header['names']}")
    height, width = header["image_size"]
    print_field("images", f"{height}x{width}; (pixels / 255 - mean) / std, mean {numbers(header['mean'])}; std "
                          f"{numbers(header['std'])}")
    if header["epsilon"]:
        print_field("epsilon", f"{header['epsilon']:g}, of the normalisations")
    if header["classes"]:
        print_field("classes", f"{len(header['classes'])}, named in the header")


def numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
