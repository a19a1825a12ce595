"""Step n of a run is a function of (seed, n) alone: every order here can be made again, from any step on."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data import Split, pipeline
from kerasdl.data.augment import compose
from kerasdl.data.pipeline import in_order, shuffled, steps_per_epoch
from kerasdl.errors import UserError
from kerasdl.objectives.classify import Classify
from kerasdl.recipe import Recipe

N, CLASSES = 23, ("a", "b", "c")
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 1)).astype("uint8")
IMAGES[:, 0, 0, 0] = np.arange(N)  # each example's number stands in its first pixel
LABELS = np.resize([0, 1, 2], N).astype("int32")
HELD = Split("train", IMAGES, LABELS, (6, 6, 1), N, CLASSES)
STREAMED = replace(HELD, x=tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)), y=None, streamed=True)
DECODED = replace(HELD, x=np.arange(N), decode=lambda index: tf.gather(tf.constant(IMAGES), index))
KINDS = pytest.mark.parametrize("split", [HELD, STREAMED, DECODED], ids=["held", "streamed", "decoded"])
AUGMENT = compose((("translate", 2),), (6, 6, 1))


def objective(smoothing=0.0):
    return Classify(Recipe(model="mlp", data="arrays", objective_args={"label_smoothing": smoothing}))


def batches(split, batch=5, *, epochs=3, seed=0, smoothing=0.0, **args):
    made = shuffled(split, objective(smoothing).training_targets(split), batch, epochs=epochs, seed=seed, **args)
    return list(made.as_numpy_iterator())


def numbers(found):
    """Which example stands where: (batches, batch size)."""
    return np.stack([images[:, 0, 0, 0] for images, _ in found])


def same(one, other):
    assert len(one) == len(other)
    for (images, answers), (images2, answers2) in zip(one, other, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(answers, answers2)


@KINDS
def test_an_epoch_is_full_batches_without_repeats_and_epochs_differ(split):
    found = batches(split)
    assert len(found) == 3 * steps_per_epoch(split, 5) == 12
    epochs = numbers(found).reshape(3, 20)
    for epoch in epochs:
        assert len(set(epoch)) == 20
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert set(epochs.ravel()) == set(range(N))  # what one epoch left over comes in another
    whole = numbers(batches(split, 23, epochs=1))
    assert sorted(whole[0]) == list(range(N)) and list(whole[0]) != list(range(N))


@KINDS
def test_images_keep_their_labels(split):
    for images, answers in batches(split):
        assert images.dtype == np.uint8 and answers.dtype == np.float32 and answers.shape == (5, 3)
        np.testing.assert_array_equal(images, IMAGES[images[:, 0, 0, 0]])
        np.testing.assert_array_equal(answers, np.eye(3)[LABELS[images[:, 0, 0, 0]]])


@KINDS
def test_label_smoothing_reaches_every_kind_of_split(split):
    images, answers = batches(split, smoothing=0.3)[0]
    np.testing.assert_allclose(answers, np.eye(3)[LABELS[images[:, 0, 0, 0]]] * 0.7 + 0.1, rtol=1e-6)


@KINDS
def test_the_seed_and_nothing_else_decides(split):
    found = batches(split)
    assert (numbers(found) != numbers(batches(split, seed=1))).any()
    try:
        for caller in (0, 5):
            tf.random.set_seed(caller)
            same(found, batches(split))
    finally:
        tf.random.set_seed(None)


def test_augmentation_follows_the_seed_and_the_step():
    one = replace(HELD, x=IMAGES[:1], y=LABELS[:1], size=1)
    shifted = [batches(one, 1, epochs=20, seed=seed, augment=AUGMENT) for seed in (0, 1)]
    assert len({images.tobytes() for images, _ in shifted[0]}) > 5
    assert any((a != b).any() for (a, _), (b, _) in zip(*shifted, strict=True))


@KINDS
def test_alternating_flip_mirrors_each_image_in_every_other_epoch(split):
    alternating = {"augment": compose(("alternating_flip",), (6, 6, 1)), "alternates": True}
    plain, found = batches(split, epochs=4), batches(split, epochs=4, **alternating)
    phases = {}
    for step, ((images, _), (turned, _)) in enumerate(zip(plain, found, strict=True)):
        for image, now in zip(images, turned, strict=True):
            mirrored = not np.array_equal(image, now)
            np.testing.assert_array_equal(image[:, ::-1] if mirrored else image, now)
            phases.setdefault(int(image[0, 0, 0]), set()).add((step // 4 + mirrored) % 2)
    assert all(len(phase) == 1 for phase in phases.values())
    assert sum(map(sum, phases.values())) in (N // 2, N // 2 + 1)
    same(batches(split, epochs=4, start=7, **alternating), found[7:])


@KINDS
def test_starting_at_a_step_is_skipping_to_it(split):
    found = batches(split, augment=AUGMENT)
    for start in (4, 7):  # at the second epoch's beginning, and within it
        same(batches(split, augment=AUGMENT, start=start), found[start:])


def test_held_and_decoded_examples_come_in_one_order():
    same(batches(HELD), batches(DECODED))


@KINDS
def test_in_order_gives_every_example_once(split):
    found = list(in_order(split, objective().targets(split), 10).as_numpy_iterator())
    assert [len(images) for images, _ in found] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in found]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([answers for _, answers in found]), np.eye(3)[LABELS])


@KINDS
def test_a_dataset_for_plain_keras_has_the_labels(split):
    images, labels = map(np.concatenate, zip(*split.dataset(10).as_numpy_iterator(), strict=True))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


@KINDS
def test_a_batch_that_is_larger_than_the_split(split):
    with pytest.raises(UserError, match=r"batch=24 .* train split of 23 examples.* batch <= 23"):
        batches(split, 24)


UNLABELLED = replace(HELD, y=None, classes=())
BARE = replace(UNLABELLED, x=tf.data.Dataset.from_tensor_slices(IMAGES), streamed=True)


@pytest.mark.parametrize("split", [HELD, DECODED, BARE, *(
    pytest.param(split, marks=pytest.mark.soak) for split in (STREAMED, UNLABELLED))])
def test_without_targets_a_batch_is_examples_alone_in_the_same_order(split):
    """Also where labels are there and nobody needs them."""
    labelled = STREAMED if split.streamed else HELD
    found = list(shuffled(split, None, 5, epochs=2, seed=0, augment=AUGMENT, start=3).as_numpy_iterator())
    expected = batches(labelled, epochs=2, augment=AUGMENT, start=3)
    for batch, (images, _) in zip(found, expected, strict=True):
        assert len(batch) == 1
        np.testing.assert_array_equal(batch[0], images)
    whole = list(in_order(split, None, 10).as_numpy_iterator())
    assert [len(batch) for batch in whole] == [1, 1, 1]
    np.testing.assert_array_equal(np.concatenate([images for images, in whole]), IMAGES)


@pytest.mark.parametrize("split", [UNLABELLED, BARE])
def test_a_dataset_for_plain_keras_has_no_labels_where_there_are_none(split):
    np.testing.assert_array_equal(np.concatenate([images for images, in split.dataset(10)]), IMAGES)
    examples, labels = split.take(np.array([7, 2]))
    np.testing.assert_array_equal(examples, IMAGES[[7, 2]])
    assert labels is None


def noise(x, y, seed):
    """Give noise that depends on the seed alone, the examples' numbers, and whether there were labels."""
    drawn = tf.random.stateless_uniform(tf.shape(x)[:1], seed)
    return {"noise": drawn, "number": x[:, 0, 0, 0]}, {"seed": seed, "labelled": tf.constant(y is not None)}


@KINDS
@pytest.mark.parametrize("labelled", [True, False])
def test_prepare_is_a_function_of_the_seed_and_the_step(split, labelled):
    answers = objective().targets(split) if labelled else None

    def prepared(**args):
        return list(shuffled(split, answers, 5, epochs=3, prepare=noise, **args).as_numpy_iterator())

    found = prepared(seed=4)
    for step, ((x, y), (images, _)) in enumerate(zip(found, batches(split, seed=4), strict=True)):
        own = pipeline.key(4, step, pipeline.PREPARED).numpy()
        np.testing.assert_array_equal(y["seed"], own)
        assert y["seed"].dtype == np.int64 and y["labelled"] == labelled
        np.testing.assert_array_equal(x["number"], images[:, 0, 0, 0])
        np.testing.assert_array_equal(x["noise"], tf.random.stateless_uniform((5,), own))
    for (x, _), (later, _) in zip(found[7:], prepared(seed=4, start=7), strict=True):
        np.testing.assert_array_equal(x["noise"], later["noise"])
        np.testing.assert_array_equal(x["number"], later["number"])
    assert (found[0][0]["noise"] != prepared(seed=5)[0][0]["noise"]).all()


def test_prepare_sees_the_augmented_batch():
    found = shuffled(HELD, objective().targets(HELD), 5, epochs=1, seed=0, augment=AUGMENT,
                     prepare=lambda x, y, seed: (x, y))
    same(list(found.as_numpy_iterator()), batches(HELD, epochs=1, augment=AUGMENT))


@KINDS
def test_evaluation_prepares_every_batch_the_same_each_time(split):
    for _ in range(2):
        found = list(in_order(split, None, 10, prepare=noise).as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([x["number"] for x, _ in found]), np.arange(N))
        for number, (x, y) in enumerate(found):
            own = pipeline.key(0, number, pipeline.EVALUATED).numpy()
            np.testing.assert_array_equal(y["seed"], own)
            np.testing.assert_array_equal(x["noise"], tf.random.stateless_uniform((len(x["noise"]),), own))
            assert not y["labelled"]


def test_a_batch_that_prepare_gives_no_targets_is_examples_alone():
    batch, = in_order(HELD, objective().targets(HELD), 23, prepare=lambda x, y, seed: (x, None)).as_numpy_iterator()
    assert len(batch) == 1
