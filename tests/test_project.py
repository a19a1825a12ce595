"""The files that strangers and assistants read first agree with the package."""

import ast
import re
from pathlib import Path

import pytest

import kerasdl
from kerasdl import cli

ROOT = Path(__file__).parents[1]
FILES = ["AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "llms.txt"]
VERB = re.compile(r"`kerasdl ([a-z]+)")


@pytest.mark.parametrize("name", FILES)
def test_links_resolve(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


@pytest.mark.parametrize("name", FILES)
def test_commands_exist(name):
    text = (ROOT / name).read_text()
    targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text())
    verbs = {command.name for command in cli.app.registered_commands} | {"tune", "weights"}
    assert set(re.findall(r"`make ([\w-]+)`", text)) <= set(targets)
    assert set(VERB.findall(text)) <= verbs
    if name == "AGENTS.md":
        assert verbs - {"launch"} <= set(VERB.findall(text))


def test_files_of_text_are_utf_8_whatever_the_locale():
    for path in (ROOT / "kerasdl").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or "encoding" in {word.arg for word in call.keywords}:
                continue
            whole = isinstance(call.func, ast.Attribute) and call.func.attr in ("read_text", "write_text")
            mode = "".join(map(ast.unparse, call.args[1:2]))
            opened = isinstance(call.func, ast.Name) and call.func.id == "open" and "b" not in mode
            assert not whole and not opened, f"{path}:{call.lineno} opens a text without encoding=\"utf-8\"."


def test_processes_of_the_package_take_no_files_of_the_user_s_for_python_s():
    """Without -P, `python -m` imports a random.py in the working directory in place of Python's."""
    for path in (ROOT / "kerasdl").rglob("*.py"):
        for after in re.findall(r"\bsys\.executable,\s*([^,\s]+)", path.read_text(encoding="utf-8")):
            assert after in ('"-P"', "*command"), f"{path} starts Python without -P."


def test_the_version_is_the_same_everywhere():
    citation, changes = (ROOT / "CITATION.cff").read_text(), (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {kerasdl.__version__}\n" in citation
    version, date = re.search(r"(?m)^## \[([\d.]+)\] - ([\d-]+)$", changes).groups()
    assert version == kerasdl.__version__ and f"\ndate-released: {date}\n" in citation


def test_the_license_is_apache():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
