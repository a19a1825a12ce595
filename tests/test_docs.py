"""Every example of README and docs runs, every link resolves, and every number agrees with the runs it is from.

Blocks of `python` and `sh` are run. Those of `bash` are commands that need a download, minutes or another folder: they
are checked. Those of `text` are what a program prints, or how a folder looks.
"""

import glob
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kerasdl import recipe, tuning

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ALWAYS = ("README.md",)  # the other pages' examples run in the soak
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("lab/*.md")])


class Block(NamedTuple):
    """A fenced example: its language, file name if it has one, first line and text."""

    language: str
    title: str | None
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.finditer(r'(?ms)^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', page.read_text())
    return [Block(match[1], match[2], page.read_text()[:match.start()].count("\n") + 2, match[3]) for match in found]


def commands(block: Block) -> list[list[str]]:
    """The words of each line, without its comment."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def expand(word: str) -> list[str]:
    """As a shell does; a word with = is an override."""
    return sorted(glob.glob(word)) or [word] if "*" in word and "=" not in word else [word]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def samples(here):
    """The data that the pages speak of: a folder of pictures, a table with classes and one with a number."""
    import keras
    from sklearn.datasets import load_diabetes, load_iris

    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 128)):
        (here / "pictures" / name).mkdir(parents=True)
        for index in range(40):
            picture = rng.integers(low, low + 128, (16, 16, 1), "uint8")
            keras.utils.save_img(here / "pictures" / name / f"{index}.png", picture, scale=False)
    iris, diabetes = load_iris(as_frame=True), load_diabetes(as_frame=True, scaled=False)
    iris.data.assign(species=iris.target_names[iris.target]).to_csv("iris.csv", index=False)
    diabetes.data.assign(progress=diabetes.target).to_csv("diabetes.csv", index=False)
    return here


@pytest.mark.parametrize("page", [
    pytest.param(page, id=page_id(page), marks=() if page_id(page) in ALWAYS else pytest.mark.soak)
    for page in PAGES if {b.language for b in blocks(page)} & {"python", "sh"}])
def test_examples_run(page, samples, command):
    """Python in order in one namespace, and shell lines; `kerasdl` in this process, to import TensorFlow once."""
    namespace = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            if block.title:
                Path(block.title).write_text(block.text)
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        elif block.language == "sh" and all(words[0] == "kerasdl" for words in commands(block)):
            for words in commands(block):
                done = command(*(part for word in words[1:] for part in expand(word)))
                assert done.code == 0, f"{page.name}: {' '.join(words)}\n{done.err}"
        elif block.language == "sh":
            bins = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=True, env=os.environ | {"PATH": bins})


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_blocks_say_what_they_are(page):
    """So that no example escapes by a misspelt language."""
    assert page.read_text().count("```") == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= {"python", "sh", "bash", "text"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_that_are_not_run_exist(page):
    """Their verbs, recipes, overrides and make targets are real."""
    from kerasdl import cli

    verbs = {verb.name or verb.callback.__name__ for verb in cli.app.registered_commands} | {"tune", "weights"}
    targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text())
    for block in blocks(page):
        for words in commands(block) if block.language == "bash" else []:
            if words[0] == "make":
                assert words[1] in targets
            elif words[0] == "kerasdl":
                assert words[1] in verbs
                if words[1] in ("train", "show", "plan", "reproduce") and words[2] not in ("RECIPE", "NAME"):
                    recipe.load(words[2]).override(*(word for word in words[3:] if "=" in word))
                if words[1] == "tune" and words[2] not in ("report", "best", "SEARCH"):
                    given = zip(words[2:], words[3:], strict=False)
                    tuning.load(words[2]).base.override(*(word for before, word in given
                                                          if "=" in word and not before.startswith("--")))
            else:
                assert words[0] in ("python", "source"), f"{page.name}: nobody checks {' '.join(words)!r}"


def test_the_first_pages_train_each_recipe_into_a_folder_of_its_own():
    """They are followed one after the other, and a run's folder is refused to another recipe."""
    lines = [words for page in (ROOT / "README.md", DOCS / "start.md") for block in blocks(page)
             if block.language in ("sh", "bash") for words in commands(block) if "--workdir" in words]
    folders = {words[words.index("--workdir") + 1]: words[2] for words in lines}
    assert len(folders) == len(lines) == 2, lines


def slugs(page):
    """The anchors of a page's headings, as mkdocs and GitHub make them, and of what mkdocstrings writes about."""
    heads = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    plain = [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads]
    return {*plain, *re.findall(r"(?m)^::: (\S+)", page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"https?://", target):
            name, _, anchor = target.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), target
            assert not anchor or anchor in slugs(file), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pages_name_no_machine_and_no_registry(page):
    text = page.read_text()
    assert not re.search(r"(?<![\w.~*/<>-])/(?:home|root|work|tmp|usr|opt|mnt|var|Users)\b", text)
    hosts = set(re.findall(r"https?://([\w.-]+)", text))
    neighbours = {"github.com", "auto.gluon.ai", "docs.ultralytics.com"}  # README: what to choose instead
    assert hosts <= {"arxiv.org", "keras.io", "www.tensorflow.org", "colab.research.google.com"} | neighbours, hosts


def test_nav_covers_all_pages():
    listed = re.findall(r"(?m)^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES if DOCS in page.parents)


def test_the_overview_leads_to_all_pages():
    linked = set(re.findall(r"\((\w+\.md)\)", (DOCS / "index.md").read_text()))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"index.md"}


def test_the_diagram_of_the_house_is_current_and_shows_every_room():
    """Otherwise: python docs/house.py, after adding the room there."""
    spec = importlib.util.spec_from_file_location("house", DOCS / "house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    assert (DOCS / house.PICTURE).read_text() == house.svg()
    shown = {room for row in house.ROWS for room in row}
    package = ROOT / "kerasdl"
    assert shown <= {path.stem for path in package.iterdir()}
    assert {path.parent.name for path in package.glob("*/__init__.py")} <= shown | house.PARTS


def test_every_model_has_its_section():
    from kerasdl import zoo

    text = (ROOT / "docs" / "python.md").read_text()
    assert re.findall(r"(?m)^### (\w+)\n\n::: kerasdl\.zoo\.(\w+)$", text) == [
        (name, name) for name in (*zoo.MODELS, *zoo.SEQUENCES)]
    page = (ROOT / "docs" / "zoo.md").read_text()
    assert ":::" not in page and re.findall(r"(?m)^### (\w+)$", page) == [*zoo.MODELS, *zoo.SEQUENCES]


def test_the_objective_of_the_page_weighs_an_example_as_its_class():
    namespace = {}
    exec(next(block.text for block in blocks(DOCS / "extend.md") if block.title == "my_objective.py"), namespace)
    loss, rows, weights = namespace["Focal"].compute_loss, np.eye(3, dtype="float32"), np.float32([4.0, 1.0, 0.5])
    answers = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    plain, weighted = (np.asarray(loss(None, None, y, answers)) for y in (rows, weights[:, None] * rows))
    np.testing.assert_allclose(weighted, weights * plain, rtol=1e-5)


@pytest.fixture
def make_results():
    spec = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_agree_with_the_runs(make_results):
    """Otherwise: make results."""
    for path, text in make_results.pages().items():
        assert path.read_text() == text, f"{path.name} is stale; run: make results"


@pytest.fixture
def project(make_results, tmp_path):
    """README and docs in a folder, and a function that puts a run's result there."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.json", "*.png"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "docs" / "results").mkdir(exist_ok=True)
    settings = recipe.load("linear_digits").diff()

    def add(seed, accuracy, seconds=60.0, file=None, gemm=None, **changes):
        result = {"recipe": "linear_digits", "seed": seed, "status": "completed", "parameters": 1650,
                  "settings": settings | {"seed": seed},
                  "test": {"accuracy": accuracy, "loss": 0.1},
                  "train": {"seconds": seconds, "images_per_second": 12345.6},
                  "environment": {"python": "3.11.7", "kerasdl": "0.1.0", "keras": "3.15.1", "tensorflow": "2.21.0",
                                  "cpu": "Some CPU", "cores": 2, "device": "CPU", "hostname": "secret"}
                  | ({"gemm_gflops": gemm} if gemm else {})}
        path = tmp_path / "docs" / "results" / (file or f"linear_digits-{seed}.json")
        path.write_text(json.dumps(result | changes))
        return tmp_path

    return add


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if name in line and line.startswith("|"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_has_mean_and_sample_deviation(make_results, project):
    for seed, accuracy, seconds, gemm in ((0, 0.95, 60.0, 150.0), (1, 0.97, 90.0, 163.3), (10, 0.96, 120.0, 170.0)):
        root = project(seed, accuracy, seconds, gemm=gemm)
    made = make_results.pages(root)
    long = row(made[root / "docs" / "results.md"], "linear_digits")
    assert long[2:8] == ["96.00 ± 1.00", "3 (0, 1, 10) †", "1,650", "90", "12,300", "161"]
    short = row(made[root / "README.md"], "`linear_digits`")
    assert short[2:] == ["96.00 ± 1.00", "3 (0, 1, 10) †", "1.5", "1,650"]
    assert "Some CPU" in made[root / "README.md"] and not any("secret" in text for text in made.values())


def test_one_run_has_no_deviation(make_results, project):
    root = project(3, 0.95)
    made = make_results.pages(root)
    assert row(made[root / "README.md"], "`linear_digits`")[2:4] == ["95.00", "1 (3) †"]
    assert row(made[root / "docs" / "results.md"], "linear_digits")[7] == "", "of a run that did not measure it"


def test_accuracy_under_test_time_augmentation_stands_beside_the_one_without(make_results, project):
    name = "cnn_cifar10_quick"
    for seed, accuracy in ((0, 0.96), (1, 0.98)):
        root = project(seed, 0.95, file=f"{name}-{seed}.json", recipe=name,
                       settings=recipe.load(name).diff(), tta={"accuracy": accuracy, "loss": 0.1})
    made, told = make_results.pages(root), "95.00 ± 0.00; 97.00 ± 1.41 with flips and shifts"
    assert row(made[root / "docs" / "results.md"], name)[2] == row(made[root / "README.md"], f"`{name}`")[2] == told
    assert make_results.augmented([{"settings": {"tta": "flip"}, "tta": {"accuracy": 0.9}}]) == "; 90.00 with flips"


def test_generators_have_a_table_of_their_own(make_results, project):
    """Percent of shares, thousandths of KID, and the references beside; the other tables do not list them."""
    settings = recipe.load("gan_digits").diff()
    for seed, distance in ((0, 1.0), (1, 2.0)):
        root = project(
            seed, 0.5, file=f"gan_digits-{seed}.json", recipe="gan_digits", settings=settings | {"seed": seed},
            test={"frechet_cnn_digits": distance, "kid_cnn_digits": 0.002, "density": 0.9, "coverage": 0.8},
            references={"train": {"frechet_cnn_digits": 0.4}, "untrained": {"frechet_cnn_digits": 50.0}},
            samples={"referee": "cnn_digits", "draws": 5, "test": 360})
    made = make_results.pages(root)
    cells = row(made[root / "docs" / "results.md"], "gan_digits")
    assert cells[2:10] == ["1.500 ± 0.707", "0.400 ± 0.000", "50.00 ± 0.00", "2.00 ± 0.00", "0.90 ± 0.00",
                           "0.80 ± 0.00", "", ""]
    assert cells[10:] == ["5 × 360, cnn_digits", "2 (0-1) †", "1.0"]
    assert "| `gan_digits` |" not in made[root / "README.md"]
    assert "Measured on" not in made[root / "README.md"], "of a machine that ran nothing of the table"


def test_recipes_without_a_result_are_listed(make_results, project):
    root = project(0, 0.95)
    made = make_results.pages(root)
    assert row(made[root / "docs" / "results.md"], "| cnn_mnist")[2] == "not run"
    assert "`cnn_mnist`" in made[root / "README.md"].split("Not run:")[1]


@pytest.mark.parametrize("change", [
    {"file": "linear_digits-1.json"},
    {"status": "diverged"},
    {"recipe": "linear_csv", "file": "linear_csv-0.json"},
    {"settings": {"model": "linear", "data": "digits", "epochs": 1}},
], ids=lambda change: next(iter(change)))
def test_a_result_that_is_not_the_recipe_as_it_stands_is_refused(make_results, project, change):
    root = project(0, 0.95, **change)
    with pytest.raises(ValueError, match="expected|not a recipe|received|has changed"):
        make_results.pages(root)


def test_the_badges_open_the_notebooks_once_there_is_an_address(make_results, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'kerasdl'\n")
    assert make_results.badges(tmp_path).count("colab.research.google.com/#upload") == 2
    (tmp_path / "pyproject.toml").write_text("[project.urls]\nRepository = 'https://github.com/some/where'\n")
    assert "https://colab.research.google.com/github/some/where/blob/main/docs/notebooks/colab_gpu.ipynb" in \
        make_results.badges(tmp_path)
