"""`kerasdl serve`: a run's exported model behind HTTP, with a page to try it."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json
from kerasdl.errors import UserError

if TYPE_CHECKING:
    from kerasdl.run import Run

PACKAGES = ("fastapi", "multipart", "prometheus_client", "uvicorn")  # of the extra `serve`, without the runtimes


def serve_run(run: RunFolder,
              port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free")] = 8000,
              host: Annotated[str, typer.Option(
                  help="address to listen on; 0.0.0.0 lets everybody in who reaches this machine, as there is no "
                       "authentication")] = "127.0.0.1",
              file: Annotated[Path | None, typer.Option(
                  metavar="FOLDER", help="an export of the run, onnx or litert, also in fewer bits; by default "
                                         "export/onnx in the run, or export/litert-int8 if it was trained to be "
                                         "rounded, which is made if it is not there")] = None,
              batch: Annotated[int, typer.Option(min=1, help="most examples that the model gets at once")] = 32,
              wait_ms: Annotated[float, typer.Option(
                  min=0, help="how long a batch waits for other requests that are being read")] = 2,
              threads: Annotated[int | None, typer.Option(
                  min=1, help="of the model; by default as many as there are cores")] = None,
              resize: Annotated[bool, typer.Option(
                  "--resize", help="resize images to the size the model was trained on")] = False,
              unknown_category: Annotated[Literal["refuse", "missing"], typer.Option(
                  help="what a category is that training has not seen: refuse it, or take it as missing")] = "refuse",
              max_mb: Annotated[float, typer.Option(min=0.001, help="most megabytes of a request")] = 20,
              max_examples: Annotated[int, typer.Option(min=1, help="most examples of a request")] = 1000,
              max_megapixels: Annotated[float, typer.Option(
                  min=0.0001, max=178, help="most pixels of an image, in millions; Pillow reads 178")] = 50,
              timeout: Annotated[float, typer.Option(min=0.1, help="seconds after which a request is given up")] = 30,
              as_json: AsJson = False) -> None:
    """Answer requests for predictions over HTTP, and show a page to try the model. Stop it with Ctrl-C or SIGTERM."""
    from kerasdl.run import Run

    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"kerasdl serve needs {' and '.join(missing)}: pip install 'kerasdl[serve]'")
    opened = Run.open(run)
    folder = file or exported(opened)
    from kerasdl.deploy.serving import app, server
    from kerasdl.deploy.serving.limits import Limits
    from kerasdl.deploy.serving.served import Served

    found = Served.find(opened, folder)
    listening = server.bound(host, port)
    limits = Limits(max_mb, max_examples, max_megapixels, timeout, max(4096, 4 * max_examples))
    built = app.build(found, threads, batch, wait_ms / 1000, limits, resize, unknown_category)
    where = server.address(listening)
    if as_json:
        print_json({"run": run, "file": found.file, "format": found.about["format"],
                    "quantize": found.about["quantize"], "address": where})
    else:
        print_field("file", found.file)
        print_field("serves", f"{where}  (page; /predict, /model, /report, /healthz, /metrics, /openapi.json)")
    server.serve(built, listening, timeout)


def exported(run: "Run") -> Path:
    """Return the folder of the run's file, which a process of its own makes if it is not there: an export needs
    TensorFlow, and a server has none. It is ONNX, or LiteRT in 8 bits, which alone rounds as training with `quantize`.

    Raises:
        UserError: it cannot be made.
    """
    from kerasdl.deploy.serving.served import check_predicts

    form = ["litert", "--quantize", "int8"] if rounds(run) else ["onnx"]
    folder = run.path / "export" / "-".join(form[::2])
    if (folder / "export.json").is_file():
        return folder
    check_predicts(run)
    print(f"{folder} is not there: exporting the run, which takes a minute", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-P", "-m", "kerasdl", "export", str(run.path), "--format", *form, "--json"],
                          capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    if done.returncode and not (folder / "export.json").is_file():  # another process may have been first
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(why.removeprefix("kerasdl: "))
    return folder


def rounds(run: "Run") -> bool:
    """Return whether the run's network rounds: it was trained so, or began with a run that was, whose layers it has."""
    file = run.path / "model.keras"
    if run.recipe.quantize or not (run.recipe.init and zipfile.is_zipfile(file)):
        return bool(run.recipe.quantize)
    with zipfile.ZipFile(file) as archive:  # which takes a server no Keras
        return b"FakeQuantize" in archive.read("config.json")
