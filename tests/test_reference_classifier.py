"""The classifiers through which images are measured: two come with the package, others are those of their data."""

import contextlib
import json

import keras
import numpy as np
import pytest

from kerasdl import objectives, zoo
from kerasdl.data import from_arrays, load_splits
from kerasdl.errors import UserError
from kerasdl.evaluation import reference_classifier
from kerasdl.files import write_json
from kerasdl.objectives.gan.scores import GeneratorScores
from kerasdl.published import results
from kerasdl.recipe import load, validate


@pytest.mark.parametrize("name", ["cnn_digits", "cnn_mnist"])
def test_a_referee_that_comes_with_the_package_is_its_recipe_s(name):
    told = json.loads((reference_classifier.SHIPPED / f"{name}.json").read_text())
    changed = results.differing(validate(told["settings"]).diff(), load(name).diff())
    assert not changed, "train it again, and the GANs' results"
    assert keras.saving.load_model(reference_classifier.SHIPPED / f"{name}.keras").count_params() == told["parameters"]


def test_published_distances_are_through_the_referee_that_comes_with_the_package():
    """Noise is as far from real images as when the results were made; nothing is trained for it."""
    published = json.loads((results.folder() / "gan_digits-0.json").read_text())["references"]["noise"]
    splits = load_splits("digits", {"train": "train", "test": "test"})
    seen = reference_classifier.find(load("gan_digits"), "", splits).extractor()
    scores = GeneratorScores(zoo.build("gan", (8, 8, 1), 10)[0], None, seen)
    test = splits["test"].x
    noise = np.random.default_rng(0).integers(0, 256, test.shape, "uint8")
    found = scores.compared(*(seen.features(images) for images in (test, noise)))
    for score in ("frechet_cnn_digits", "kid_cnn_digits", "coverage"):
        assert found[score] == pytest.approx(published[score], rel=1e-3)


def test_a_folder_s_referee_is_that_of_its_pictures_and_not_of_its_name(here):
    """Another folder of the same relative name has its own, and so have other pictures in the same one."""
    recipe = load("cnn_digits").override("data=folder:pictures")
    homes = []
    for place in ("one", "two"):
        folder = here / place / "pictures" / "a"
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(b"picture")
        with contextlib.chdir(here / place):
            homes.append(reference_classifier.home(recipe, {}))
            assert reference_classifier.home(recipe, {}) == homes[-1]
            (folder / "1.png").write_bytes(b"picture")
            homes.append(reference_classifier.home(recipe, {}))
    assert len(set(homes)) == 4


def test_a_table_s_reference_is_that_of_what_it_holds(here):
    """Its file may have changed, and another folder may have one of the same name."""
    recipe, images = load("cnn_digits").override("data=csv:images.csv"), np.zeros((40, 8, 8, 1), "uint8")
    one, other = (from_arrays(images, np.resize(classes, 40)) for classes in ([0, 1], [0, 1, 1]))
    assert reference_classifier.home(recipe, one) == reference_classifier.home(recipe, {"train": one["train"]})
    assert reference_classifier.home(recipe, one) != reference_classifier.home(recipe, other)


RECIPE = "from kerasdl import Recipe\nrecipe = Recipe(model='cnn', model_args={'size': 'mu'}, data='digits', lr=%s)\n"


def generator(place, reference):
    """The objective of a generator that began in a folder, as its run there has it, and its splits of digits."""
    recipe = load("gan_digits").override(data="folder:pictures", objective_args={"reference": reference})
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
    (run := place / "run").mkdir(exist_ok=True)
    (run / "recipe.json").write_text(recipe.model_dump_json())
    return objectives.of(recipe, run), from_arrays(images, np.resize([0, 1], 40))


@pytest.fixture
def began(here):
    """A folder with pictures and references, in which a training began."""
    place = here / "began"
    (place / "pictures" / "a").mkdir(parents=True)
    (place / "pictures" / "a" / "0.png").write_bytes(b"picture")
    (place / "small.py").write_text(RECIPE % 0.1)
    images = keras.Input((8, 8, 1), dtype="uint8")
    keras.Model(images, keras.layers.Flatten()(images)).save(place / "flat.keras")
    return place


@pytest.mark.parametrize("reference", ["", "small.py", "flat.keras"])
def test_a_reference_is_found_from_another_folder(began, reference):
    """It is the same one, in the same place of the cache, and would learn from the same pictures."""
    objective, splits = generator(began, reference)
    with contextlib.chdir(began):
        first = reference_classifier.of_objective(objective, splits)
        write_json(objective.run / "data.json", {**splits["train"].describe(), "folder": str(began)})
    again = reference_classifier.of_objective(objective, splits)
    assert (first.name, first.folder, first.digest) == (again.name, again.folder, again.digest)
    if again.recipe:
        assert first.recipe.data == "folder:pictures" and again.recipe.data == f"folder:{began / 'pictures'}"


@pytest.mark.parametrize("reference", ["small.py", "flat.keras"])
def test_a_reference_that_was_changed_is_refused(began, reference):
    """An older run, which has not noted it, is resumed."""
    objective, splits = generator(began, reference)
    facts = {**splits["train"].describe(), "folder": str(began)}
    images = keras.Input((8, 8, 1), dtype="uint8")
    other = keras.Model(images, keras.layers.Flatten()(images) / 2)
    with contextlib.chdir(began):
        digest = reference_classifier.of_objective(objective, splits).digest
        objective.evaluator(zoo.build("gan", (8, 8, 1), 10)[0],
                            reference_classifier.FeatureExtractor("reference", other, None, digest))
        write_json(objective.run / "data.json", facts | {"noted": objective.noted()})
        reference_classifier.of_objective(objective, splits)
        if reference == "small.py":
            (began / reference).write_text(RECIPE % 0.2)
        else:
            other.save(began / reference)
        with pytest.raises(UserError, match=f"{reference} is no longer the reference classifier that .*run began"):
            reference_classifier.of_objective(objective, splits)
        write_json(objective.run / "data.json", facts)
        assert reference_classifier.of_objective(objective, splits).digest
