"""Runs with random weights and an export, as far as a server looks at them, and clients for them."""

import io
import json
from contextlib import contextmanager

import numpy as np
import zoo_harness as harness
from PIL import Image
from starlette.testclient import TestClient

from kerasdl import objectives
from kerasdl.data import sources
from kerasdl.deploy import exporting, formats
from kerasdl.deploy.serving import app
from kerasdl.deploy.serving.served import Served
from kerasdl.files import write_json
from kerasdl.recipe import Recipe
from kerasdl.run import Run


def exported(folder, form="onnx", **recipe):
    """Return a run of a recipe with random weights, exported without being compared."""
    run = Run.create(Recipe(name="tried", **recipe), folder)
    objective = objectives.of(run.recipe, run.path)
    target = type(objective).target
    split = sources.load(recipe["data"], "train", target=target, **recipe.get("data_args", {}))
    network = harness.randomise(objective.network(split), spread=0.3)
    network.save(run.path / "model.keras")
    write_json(run.path / "data.json", split.describe())
    for name, text in split.files.items():
        (run.path / name).write_text(text)
    out, made = run.path / "export" / form, formats.find(form)
    out.mkdir(parents=True)
    made.write(network, str(out / made.FILE), None, np.zeros(0))
    facts = {"format": form, "quantize": None, "file": made.FILE, **exporting.about(run, objective, network)}
    write_json(out / "export.json", facts | {"sha256": exporting.digest(out / made.FILE)})
    return run


@contextmanager
def client(run, form="onnx", **settings):
    """Yield a client of a server of the run, in this process."""
    built = app.build(Served.find(run, run.path / "export" / form), 1, **settings)
    with TestClient(built, raise_server_exceptions=False) as made:
        yield made


def png(pixels, **how):
    """Return an image as the bytes of a file."""
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, how.pop("format", "PNG"), **how)
    return file.getvalue()


def flat(predictions):
    """Return [(class, value), ...] of each example."""
    return [[(one["class"] or "", one["value"]) for one in each["answers"]] for each in predictions]


def same(response, wanted):
    """Check that a server's answers are those of `kerasdl predict`, to the rounding of float32."""
    assert response.status_code == 200, response.text
    found = flat(response.json()["predictions"])
    assert [[name for name, _ in each] for each in found] == [[name for name, _ in each] for _, each in wanted]
    np.testing.assert_allclose([value for each in found for _, value in each],
                               [value for _, each in wanted for _, value in each], rtol=1e-4, atol=1e-5)


def line(response, status):
    """Check that a request was refused in one line of JSON, and return the line."""
    assert response.status_code == status, response.text
    (key, text), = json.loads(response.content).items()
    assert key == "error" and text and "\n" not in text and len(text) < 400
    return text
