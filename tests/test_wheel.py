"""The sdist holds what the wheel is built from; the wheel holds what an installed package needs. See `make wheel`."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import kerasdl

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The paths of the sdist and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True,
                   capture_output=True, cwd=folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasdl").rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}
    results = {f"kerasdl/measured/{path.name}" for path in (ROOT / "docs" / "results").glob("*.json")}
    assert {"kerasdl/py.typed", "kerasdl/recipes/vit_digits.py"} <= package <= names and results and results <= names
    assert {name.partition("/")[0] for name in names} == {"kerasdl", f"kerasdl-{kerasdl.__version__}.dist-info"}


def test_what_a_registry_reads_of_the_wheel(built):
    with zipfile.ZipFile(built[1]) as wheel:
        facts = message_from_string(wheel.read(f"kerasdl-{kerasdl.__version__}.dist-info/METADATA").decode())
        scripts = wheel.read(f"kerasdl-{kerasdl.__version__}.dist-info/entry_points.txt").decode()
    assert facts["Version"] == kerasdl.__version__ and facts["License-Expression"] == "Apache-2.0"
    assert facts["License-File"] == "LICENSE" and "kerasdl = kerasdl.cli:main" in scripts
    assert {"tf", "tpu", "jax", "plan"} <= set(facts.get_all("Provides-Extra"))


def test_the_sdist_holds_no_caches(built):
    with tarfile.open(built[0]) as sdist:
        parts = {part for name in sdist.getnames() for part in Path(name).parts}
    assert {"LICENSE", "CHANGELOG.md", "pyproject.toml", "docs", "tests"} <= parts
    assert not parts & {"__pycache__", ".venv", "site", "dist", ".git"}


def test_make_wheel_in_a_clone_whose_path_has_a_space(tmp_path):
    """The environments are made by a Python that tells what it is asked for, and stops there."""
    clone, python = tmp_path / "my clone", tmp_path / "python"
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    (clone / "constraints.txt").touch()
    python.write_text('#!/bin/sh\nmkdir -p "$3/bin"\n'
                      'printf \'#!/bin/sh\\nprintf "%%s\\\\n" "$@"\\nexit 3\\n\' > "$3/bin/python"\n'
                      'chmod +x "$3/bin/python"\n')
    python.chmod(0o755)
    done = subprocess.run([clone / ".ci" / "wheel"], env=os.environ | {"PYTHON": str(python)}, capture_output=True,
                          text=True)
    words = done.stdout.splitlines()
    assert done.returncode == 3 and words[-3:] == ["-c", "constraints.txt", "build"], done
