"""A folder for a web server: a page that asks the model on the visitor's own machine, by onnxruntime-web.

The file that runs there is an ONNX file, which `load` runs with onnxruntime. The page reads an example as `kerasdl
predict` does, and a test compares the two in Chromium.
"""

import shutil
from pathlib import Path

from kerasdl.deploy import web
from kerasdl.deploy.formats import onnx

FILE = "."  # all of the folder
PACKAGES = onnx.PACKAGES
QUANTIZED = {kind: means for kind, means in onnx.QUANTIZED.items() if kind != "float16"}  # not tried there
PAGE = ("index.html", "style.css", "page.js", "examples.js", "model.js")


def write(network, path, kind, examples):
    Path(path).mkdir(exist_ok=True)
    onnx.write(network, f"{path}/model.onnx", kind, examples)


def annotate(path, facts):
    onnx.annotate(f"{path}/model.onnx", facts)


def load(path, threads):
    return onnx.load(f"{path}/model.onnx", threads)


def check(run, objective, network):
    from kerasdl.deploy.web import facts, runtime

    facts.check(run, objective, network.input_shape[1:], network.output_shape[1:])
    runtime.fetch()


def accompany(path, run, objective, exported, x):
    from kerasdl.deploy.web import facts, runtime
    from kerasdl.files import write_json

    runtime.unpack(runtime.fetch(), Path(path) / "onnxruntime")
    for name in PAGE:
        shutil.copyfile(Path(web.__path__[0]) / name, Path(path) / name)
    write_json(Path(path) / "model.json", facts.of(run, objective, exported, x))
