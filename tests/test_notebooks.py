"""The notebooks are made of the scripts beside them, and run from top to bottom on this machine's processor."""

import os
import sys
from pathlib import Path

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
    """What is installed, the recipe, and the choice of JAX: so that what runs in the suite is both."""
    def cells(name):
        return [cell.source for cell in nbformat.read(FOLDER / f"{name}.ipynb", 4).cells
                if cell.cell_type == "code" and not {"colab", "parameters"} & {*tags(cell)}]

    jax = 'os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported\n\n'
    assert cells("colab_gpu") == [source.replace(jax, "") for source in cells("colab_tpu")]


@pytest.mark.parametrize("name", ["colab_tpu", pytest.param("colab_gpu", marks=pytest.mark.soak)])
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    """But for installing and Drive, which are Colab's."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in tags(cell)]
    for cell in notebook.cells:
        cell.source = next((HERE[tag] for tag in tags(cell)), cell.source)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    here = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=None, startup_timeout=600, resources=here).execute()
    assert (tmp_path / "run/result.json").is_file() and (tmp_path / "run/report.html").is_file()
    told = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert "Nothing is wrong." in "".join(output.get("text", "") for output in told)
    assert "'accuracy': " in str(told) and "tensorboard-frame" in str(told)
