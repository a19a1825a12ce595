"""The picture of accuracy against minutes shows every recipe that was run, and no name covers another."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks import frontier
from benchmarks.frontier import Point
from kerasdl import recipe
from kerasdl.published import results

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made():
    recipes = [found for found, _ in recipe.shipped()]
    return frontier.panels(recipes, results.read(recipes))


def test_the_front_is_what_no_other_beats_in_both():
    points = [Point("a", 1, 90), Point("b", 2, 89), Point("c", 3, 95), Point("d", 3, 94), Point("e", 0.5, 80)]
    assert [point.name for point in frontier.front(points)] == ["e", "a", "c"]


def test_the_points_are_the_committed_results(made):
    found = results.read(found for found, _ in recipe.shipped())
    shown = {point.name: point for points in made.values() for point in points}
    for name, runs in found.items():
        if recipe.load(name).data in frontier.DRAWN and recipe.load(name).objective == "classify":
            spread = f" ± {shown[name].deviation:.2f}" * (len(runs) > 1)
            assert f"{shown[name].accuracy:.2f}{spread}" == results.score(recipe.load(name), runs)
            assert shown[name].minutes == pytest.approx(np.median([run["train"]["seconds"] for run in runs]) / 60)


def test_no_name_covers_another_or_leaves_its_panel(made):
    figure = frontier.figure_of(made)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
        frame = axes.get_window_extent()
        for (one, box), (other, its) in combinations(boxes.items(), 2):
            across = min(box.x1, its.x1) - max(box.x0, its.x0)
            up = min(box.y1, its.y1) - max(box.y0, its.y0)
            assert across < 1 or up < 1, f"{one} covers {other}"
        for name, box in boxes.items():
            assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1, f"{name} leaves the panel"


def test_the_picture_on_disk_has_every_recipe_and_names_the_hardware_of_the_others(made):
    """Otherwise: make results."""
    page, picture = (ROOT / "docs" / "results.md").read_text(), ROOT / "docs" / frontier.PICTURE
    assert frontier.PICTURE in page
    names = set(re.findall(r"<!-- (.*?) -->", picture.read_text()))
    for data, points in made.items():
        assert {point.name for point in points} <= names
        for anchor in frontier.ANCHORS.get(data, ()):
            assert anchor.hardware.split()[0] in page
