"""`kerasdl export`: a run's model in a file that other runtimes or libraries read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kerasdl.cli.terminal import AsJson, print_field, print_json, quiet
from kerasdl.errors import UserError

SUFFIX = ".safetensors"


def export_model(source: Annotated[str, typer.Argument(metavar="RUN", help="folder of a run, or a .keras file")],
                 form: Annotated[Literal["safetensors", "onnx", "litert", "openvino", "savedmodel", "keras", "web"],
                                 typer.Option("--format", help="safetensors: the weights alone, in the names of "
                                              "another library; web: a folder with a page that runs the model in "
                                              "browsers; the others: files that run, tried and compared "
                                              "before they are kept")] = "safetensors",
                 quantize: Annotated[Literal["float16", "dynamic", "int8"] | None, typer.Option(
                     help="store numbers in fewer bits; dynamic: matrices in 8 bits, without a calibration")] = None,
                 tolerance: Annotated[float | None, typer.Option(
                     min=0, help="how far answers may be from the model's, as a share of their range (default 1e-4); "
                                 "with --quantize how much of a validation score may be lost (0.005, or one example) "
                                 "or, without scores, how far a correlation may be from 1 (0.05)")] = None,
                 names: Annotated[str | None, typer.Option(
                     help="whose names: hf (Hugging Face), timm or torchvision; by default the first of them that "
                          "builds such a network")] = None,
                 model: Annotated[str | None, typer.Option(
                     help="model of the zoo in a .keras file; by default the name that the file has for it")] = None,
                 out: Annotated[Path | None, typer.Option(
                     metavar="PATH", help="the file of weights to write, by default next to the model; of the other "
                                          "formats the folder, by default export/FORMAT or export/FORMAT-KIND in "
                                          "the run, KIND being that of --quantize")] = None,
                 as_json: AsJson = False) -> None:
    """Write a run's trained model for another runtime or library, with what a reader of it has to know."""
    if form == "safetensors":
        if quantize or tolerance is not None:
            raise UserError("--quantize and --tolerance are for files that run. Choose another --format.")
        export_weights(source, names, model, out, as_json)
        return
    if names or model:
        raise UserError(f"--names and --model are for --format safetensors. Leave them out with --format {form}.")
    if source.endswith(".keras"):
        raise UserError(f"--format {form} is compared on validation data, which a run has and a .keras file has not. "
                        "Name a run.")
    export_file(source, form, quantize, tolerance, out, as_json)


def export_file(source: str, form: str, quantize: str | None, tolerance: float | None, out: Path | None, as_json: bool
                ) -> None:
    """Write, compare and describe a file of a runtime."""
    from kerasdl.deploy import formats
    from kerasdl.run import Run

    formats.find(form, quantize), Run.open(source).model_file  # before TensorFlow is imported
    with quiet():
        from kerasdl.deploy import export
        facts = export(source, form, quantize=quantize, out=out, tolerance=tolerance)
    if as_json:
        print_json(facts)
        return
    print_field("file", f"{Path(facts['folder']) / facts['file']}, {facts['bytes']:,} bytes")
    print_field("input", f"{facts['input']['dtype']} (B, {', '.join(map(str, facts['input']['shape']))}): "
                         f"{facts['input']['is']}")
    print_field("output", f"(B, {', '.join(map(str, facts['output']['shape']))}): {facts['output']['is']}")
    print_field("apart", f"{facts['difference']:.2g} of the range of the outputs, on {facts['examples']:,} examples")
    if facts["scores"]:
        name, score = next(iter(facts["scores"].items()))
        print_field("val", f"{name} {score['file']:.4f}; Keras {score['keras']:.4f}")
    print_field("time", "; ".join(f"{times['file_ms']:.3g} ms for {batch}, Keras {times['keras_ms']:.3g}"
                                  for batch, times in facts["latency"].items()))


def export_weights(source: str, names: str | None, model: str | None, out: Path | None, as_json: bool) -> None:
    """Write the weights in the names of another library, and print the preprocessing that goes with them."""
    from kerasdl import zoo
    from kerasdl.run import Run, load_model
    from kerasdl.zoo import weights

    run = None if source.endswith(".keras") else Run.open(source)
    file = run.model_file if run else Path(source)
    if not file.is_file():
        raise UserError(f"There is no file {file}.")
    net = run.recipe.model if run else model
    out = out or file.with_suffix(SUFFIX)
    if out.suffix != SUFFIX:
        raise UserError(f"--format safetensors is written to a {SUFFIX} file. Received: {out}.")
    if net:
        check(net, names)
    with quiet():
        from kerasdl.deploy import exporting
        from kerasdl.files import whole, write_json, writing
        loaded = run.model() if run else load_model(file)
    if not net and loaded.name not in zoo.MODELS:
        raise UserError(f"{file} holds a model named {loaded.name!r}. Say which model of the zoo it is: --model vit")
    classes = run.data.get("classes") or () if run else ()
    try:
        with writing(out, "Name another file with --out."):
            with whole(out) as partial:
                header = weights.save(loaded, partial, net or loaded.name, names, classes)
                found = exporting.read_back(loaded, partial, header)
            facts = {"file": out.name, "format": "safetensors", **header, **found}
            write_json(out.with_suffix(".export.json"), facts)
    except (ValueError, ImportError) as error:
        raise UserError(" ".join(str(error).split())) from None
    if as_json:
        print_json(facts | {"file": out})
    else:
        print_header(out, facts)


def check(net: str, names: str | None) -> None:
    """Raise a UserError for a network without names of others, and for names that it does not have."""
    from kerasdl.zoo import weights

    try:
        known = weights.sources(net)
    except ValueError as error:
        raise UserError(f"{error} For a file that runs elsewhere, give --format onnx, litert, openvino, savedmodel, "
                        "keras or web.") from None
    if names is not None and names not in known:
        raise UserError(f"{net} is not written in the names of {names!r}. Expected --names {' or '.join(known)}.")


def print_header(out: Path, header: dict[str, Any]) -> None:
    """Print what a reader of the file has to know, most of which is in its header, too."""
    print_field("file", f"{out}, {header['bytes']:,} bytes, {header['model']} in the names of {header['names']}")
    height, width = header["image_size"]
    print_field("images", f"{height}x{width}; (pixels / 255 - mean) / std, mean {numbers(header['mean'])}; std "
                          f"{numbers(header['std'])}")
    if header["epsilon"]:
        print_field("epsilon", f"{header['epsilon']:g}, of the normalisations")
    if header["classes"]:
        print_field("classes", f"{len(header['classes'])}, named in the header")
    print_field("apart", f"{header['difference']:.2g} of the range of the outputs, read into a new network")


def numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
