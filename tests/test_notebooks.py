"""The notebooks are written from the scripts next to them, and run from top to bottom on a CPU."""

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
HERE = {"parameters": 'RECIPE, CHANGES, FOLDER = "linear_digits", {"epochs": 1}, "run"'}  # in place of the cells' own


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_is_its_script(script):
    """Otherwise: make notebooks."""
    ours, theirs = jupytext.read(script), nbformat.read(script.with_suffix(".ipynb"), 4)
    assert [(cell.source, tags(cell)) for cell in theirs.cells] == [(cell.source, tags(cell)) for cell in ours.cells]
    nbformat.validate(theirs)
    for cell in theirs.cells:
        assert not cell.get("outputs") and len(cell.source.splitlines()) <= 10, cell.source


def test_the_notebooks_differ_in_little():
    """In what is installed, the recipe and the choice of JAX; so a test of one tests both."""
    def cells(name):
        return [cell.source for cell in nbformat.read(FOLDER / f"{name}.ipynb", 4).cells
                if cell.cell_type == "code" and not {"colab", "parameters"} & {*tags(cell)}]

    jax = 'os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported\n\n'
    assert cells("colab_gpu") == [source.replace(jax, "") for source in cells("colab_tpu")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("on_drive, uploaded, installed", [
    (["kerasdl-0.1.0-py3-none-any.whl", "kerasdl-0.2.0-py3-none-any.whl"], [], "kerasdl-0.2.0-py3-none-any.whl"),
    ([], ["kerasdl-0.2.0-py3-none-any.whl"], "kerasdl-0.2.0-py3-none-any.whl"), ([], [], "")])
def test_the_wheel_that_is_installed(script, on_drive, uploaded, installed, monkeypatch):
    """One on the Drive, else one that is uploaded, else none: a package index may have another's."""
    (cell,) = [cell.source for cell in jupytext.read(script).cells if "!pip install" in cell.source]
    code, _, requirement = cell.partition("!pip install --quiet ")
    monkeypatch.setattr("glob.glob", lambda pattern: on_drive)
    files = SimpleNamespace(upload=lambda: dict.fromkeys(uploaded, b""))
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(files=files))
    namespace = {}
    if not installed:
        with pytest.raises(RuntimeError, match="make wheel"):
            exec(code, namespace)
        return
    exec(code, namespace)
    extra = "[tpu]" if "tpu" in script.stem else ""
    assert shlex.split(requirement.format(**namespace)) == [installed + extra]


@pytest.mark.parametrize("found", [[], ["a GPU"]])
def test_the_notebook_for_a_gpu_stops_where_there_is_none(found, monkeypatch):
    (cell,) = [cell.source for cell in jupytext.read(FOLDER / "colab_gpu.py").cells if "list_physical" in cell.source]
    config = SimpleNamespace(list_physical_devices=lambda kind: found)
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    with nullcontext() if found else pytest.raises(RuntimeError, match="no GPU"):
        exec(cell, {})


@pytest.mark.soak
@pytest.mark.parametrize("name", ["colab_tpu", "colab_gpu"])
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    """Except for the cells of Colab: Drive and the installation."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in tags(cell)]
    for cell in notebook.cells:
        cell.source = next((HERE[tag] for tag in tags(cell)), cell.source)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    here = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=None, startup_timeout=600, resources=here).execute()
    assert (tmp_path / "run/result.json").is_file() and (tmp_path / "run/report.html").is_file()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert "Nothing is wrong." in "".join(output.get("text", "") for output in outputs)
    assert "'accuracy': " in str(outputs) and "tensorboard-frame" in str(outputs)
