"""Durations, schedules, and that weight decay falls where it should, for every optimizer of a recipe."""


import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import zoo
from kerasdl.compression.quantize_aware import quantize_aware
from kerasdl.data import load
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.train import optim
from kerasdl.train.layer_decay import depths
from kerasdl.train.optim import Muon, StepDecay, duration, optimizer, schedule
from kerasdl.train.setup import seeded

STEPS, EPOCHS = 10, 10
PLAIN = Recipe(model="mlp", data="digits", epochs=EPOCHS, lr=0.5)
OPTIMIZERS = pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "muon"])


@pytest.mark.parametrize("length, steps", [
    ("5%", 50), ("2.5 %", 25), ("100%", 1000), ("3 epochs", 300), ("1 epoch", 100), ("0.5 epochs", 50), (70, 70),
    ("70", 70), ("70 steps", 70), (0, 0), ("0%", 0), (1000, 1000),
])
def test_durations(length, steps):
    assert duration(length, 100, 1000) == steps


@pytest.mark.parametrize("length, words", [
    ("soon", "'soon'"), ("-5%", "'-5%'"), (-5, "-5"), ("5 parsecs", "'5 parsecs'"), ("", "''"),
    ("101%", "1010 steps; the run has 1000"), ("11 epochs", "1100 steps"), (1001, "1001 steps"),
])
def test_durations_that_cannot_be(length, words):
    with pytest.raises(UserError, match=words):
        duration(length, 100, 1000)


def rates(**changes):
    """The learning rate of each step of a run of 100."""
    made = schedule(PLAIN.override(**changes), STEPS)
    return np.array([float(made(step)) for step in range(STEPS * EPOCHS)])


def test_constant():
    np.testing.assert_allclose(rates(schedule="constant"), 0.5)
    np.testing.assert_allclose(rates(schedule="constant", warmup="2 epochs")[20:], 0.5)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_warmup_rises_in_a_line_from_zero(name):
    np.testing.assert_allclose(rates(schedule=name, warmup=20)[:21], np.linspace(0, 0.5, 21), atol=1e-6)


@pytest.mark.parametrize("warmup", ["0%", "20%"])
def test_cosine_falls_from_the_peak_to_nothing(warmup):
    found = rates(schedule="cosine", warmup=warmup)
    peak = duration(warmup, STEPS, 100)
    assert found.argmax() == peak and found[peak] == pytest.approx(0.5)
    assert (np.diff(found[peak:]) < 0).all() and 0 < found[-1] < 0.5 / 500
    assert found[peak + (100 - peak) // 2] == pytest.approx(0.25)


@pytest.mark.parametrize("warmup, peak", [("0%", 30), ("50%", 50)])
def test_onecycle_peaks_where_the_warmup_ends(warmup, peak):
    found = rates(schedule="onecycle", warmup=warmup)
    assert found[0] == pytest.approx(0.5 / 25) and found.argmax() == peak and found[peak] == pytest.approx(0.5)
    assert (np.diff(found[:peak + 1]) > 0).all() and (np.diff(found[peak:]) < 0).all() and found[-1] < 0.5 / 500


def test_step_divides_by_ten_at_a_half_and_at_three_quarters():
    np.testing.assert_allclose(rates(schedule="step"), np.repeat([0.5, 0.05, 0.005], [50, 25, 25]), rtol=1e-5)
    made = schedule(PLAIN.override(schedule="step", warmup=20), STEPS)
    again = StepDecay.from_config(made.get_config())
    assert [float(again(step)) for step in range(100)] == [float(made(step)) for step in range(100)]


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle", "step"])
@pytest.mark.parametrize("warmup", [0, 20])
def test_the_rates_of_a_run_are_those_that_its_steps_take(name, warmup):
    recipe = PLAIN.override(schedule=name, warmup=warmup)
    np.testing.assert_allclose(optim.rates(recipe, STEPS), rates(schedule=name, warmup=warmup), rtol=2e-5, atol=1e-8)


@OPTIMIZERS
@pytest.mark.parametrize("model, args", [("vit", {"size": "mu", "patch": 4}), ("cnn", {"size": "mu"})])
def test_weight_decay_shrinks_kernels_and_nothing_else(name, model, args):
    """With gradients of zero, decay is all that moves a weight: by lr x weight_decay, decoupled."""
    network = zoo.build(model, (8, 8, 1), 10, **args)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(1 + rng.random(variable.shape))
    before = [variable.numpy() for variable in network.trainable_variables]
    made = optimizer(PLAIN.override(optimizer=name, schedule="constant", lr=0.1, weight_decay=0.5), network, STEPS)
    made.build(network.trainable_variables)
    made.apply([keras.ops.zeros_like(variable) for variable in network.trainable_variables])
    kernels = 0
    for variable, old in zip(network.trainable_variables, before, strict=True):
        kernel = variable.path.endswith("/kernel")
        kernels += kernel
        np.testing.assert_allclose(variable.numpy(), old * (0.95 if kernel else 1), rtol=1e-5, err_msg=variable.path)
    assert 0 < kernels < len(before)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.1}], ids=str)
@OPTIMIZERS
def test_a_row_that_several_places_look_up_learns_from_their_sum(name, clip):
    """Keras squares and clips what each place says."""

    def stepped(gradient):
        table = keras.Variable(np.ones((4, 3), "float32"), name="table")
        made = optimizer(PLAIN.override(optimizer=name, schedule="constant", **clip), keras.Sequential([]), STEPS)
        made.build([table])
        made.apply([gradient], [table])
        return table.numpy()

    values, places = tf.constant(np.random.default_rng(0).normal(size=(5, 3)), "float32"), tf.constant([2, 0, 2, 2, 0])
    sparse, summed = tf.IndexedSlices(values, places, tf.constant([4, 3])), np.zeros((4, 3), "float32")
    np.add.at(summed, places.numpy(), values.numpy())
    np.testing.assert_allclose(stepped(sparse), stepped(tf.constant(summed)), rtol=1e-6)


@OPTIMIZERS
def test_optimizers_learn(name):
    digits = load("digits", "val")
    with seeded(0):
        network = zoo.build("mlp", (8, 8, 1), 10, size="mu")
    rate = {"adamw": 3e-2, "sgd": 0.1, "lion": 1e-2, "muon": 3e-2}[name]
    made = optimizer(PLAIN.override(optimizer=name, lr=rate, weight_decay=1e-3, epochs=8), network, 6)
    network.compile(made, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = network.fit(digits.x, digits.y, batch_size=30, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name, shape, matrix", [
    ("hidden/kernel", (12, 8), (12, 8)),
    ("conv/kernel", (3, 3, 5, 8), (45, 8)),
    ("query/kernel", (16, 2, 8), (16, 16)),
    ("attention_output/kernel", (2, 8, 16), (16, 16)),
    ("depthwise/kernel", (3, 3, 5, 1), None),
    ("query/bias", (2, 8), None),
    ("logits/kernel", (12, 8), None),
])
def test_muon_moves_a_kernel_as_the_matrix_that_it_is(name, shape, matrix):
    """And all else as AdamW does. Keras' own goes by the number of axes."""
    rng = np.random.default_rng(0)
    start, gradient = rng.normal(size=(2, *shape)).astype("float32")

    def steps(made, shape):
        with keras.name_scope(name.split("/")[0]):
            variable = keras.Variable(start.reshape(shape), name=name.split("/")[1])
        made.build([variable])
        for scale in (1.0, -0.5, 2.0):
            made.apply([keras.ops.convert_to_tensor(scale * gradient.reshape(shape) ** 3)])
        return variable.numpy().reshape(start.shape)

    network = zoo.build("mlp", (8, 8, 1), 10, size="mu")
    ours = steps(optimizer(PLAIN.override(optimizer="muon", schedule="constant", lr=0.1), network, STEPS), shape)
    rule = keras.optimizers.Muon(0.1, momentum=0.9, weight_decay=None) if matrix \
        else keras.optimizers.AdamW(0.1, weight_decay=0)
    assert np.abs(ours - start).max() > 1e-3
    np.testing.assert_allclose(ours, steps(rule, matrix or shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1.0, 30.0])
def test_kernel_rms_makes_a_step_that_does_not_depend_on_the_length_of_a_kernel(length):
    """Each kernel of Muon's at the root mean square asked for, less Muon's step; all else moves as without."""
    def filters(path):
        return "conv" in path

    def stepped(length=1.0, **changes):
        """{path: the variable before and after a step}"""
        network = zoo.build("cnn", (8, 8, 1), 10, size="mu")
        rng = np.random.default_rng(0)
        for variable in network.trainable_variables:
            variable.assign((length if filters(variable.path) else 1) * rng.normal(size=variable.shape))
        before = [variable.numpy() for variable in network.trainable_variables]
        recipe = PLAIN.override(optimizer="muon", schedule="constant", lr=0.1, **changes)
        made = optimizer(recipe, network, STEPS)
        made.build(network.trainable_variables)
        made.apply([keras.ops.convert_to_tensor(rng.normal(size=old.shape).astype("float32")) for old in before])
        return {variable.path: (old, variable.numpy())
                for variable, old in zip(network.trainable_variables, before, strict=True)}

    plain = stepped()
    kept, decayed = stepped(length, kernel_rms=0.05), stepped(length, kernel_rms=0.05, weight_decay=0.5)
    assert {True, False} == set(map(filters, plain))
    for path, (old, new) in plain.items():
        start = old * 0.05 / np.sqrt(np.mean(old**2)) if filters(path) else old
        np.testing.assert_allclose(kept[path][1], start + new - old, rtol=1e-5, atol=1e-6, err_msg=path)
        if filters(path):
            np.testing.assert_allclose(decayed[path][1], kept[path][1], atol=1e-6, err_msg=path)


@pytest.mark.parametrize("shape", [(96, 16), (16, 96), (20, 16), (16, 16)])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_long_matrix_gets_keras_iteration_by_fewer_products(shape, steps):
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], min(shape))))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], min(shape))))
    for scales in (np.linspace(1, 2, 16), np.logspace(0, -6, 16)):  # as they are, and all but of a lower rank
        x = keras.ops.convert_to_tensor(((left * scales) @ right.T).astype("float32"))
        ours = Muon().zeropower_via_newtonschulz5(x, steps)
        theirs = keras.optimizers.Muon().zeropower_via_newtonschulz5(x, steps)
        assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)


def test_settings_of_muon_are_of_the_saved_optimizer():
    recipe = PLAIN.override(optimizer="muon", kernel_rms=0.05, ns_steps=3)
    made = optimizer(recipe, zoo.build("mlp", (8, 8, 1), 10), STEPS)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is Muon and (again.kernel_rms, again.ns_steps) == (0.05, 3)


@pytest.mark.parametrize("name, setting, known", [
    ("adamw", "kernel_rms=0.05", "betas"), ("sgd", "ns_steps=3", "momentum"), ("lion", "momentum=0.5", "no settings"),
    ("muon", "betas=(0.5, 0.9)", "momentum, kernel_rms, ns_steps")])
def test_what_an_optimizer_does_not_have_is_refused(name, setting, known):
    with pytest.raises(UserError, match=f"optimizer={name} has no setting optimizer_args.*{known}"):
        PLAIN.override(f"optimizer={name}", f"optimizer_args.{setting}")


# Layer-wise decay


@pytest.mark.parametrize("model, args, expected", [
    ("vit", {"size": "mu", "patch": 4}, {"patches": 3, "class_token": 3, "position": 3, "block1_attn": 2,
                                         "block1_down": 2, "block2_norm1": 1, "norm": 0, "logits": 0}),
    ("cnn", {"size": "S"}, {"stem_conv": 3, "stem_norm": 3, "stage1_conv1": 2, "stage1_norm2": 2, "stage2_conv2": 1,
                            "logits": 0}),
    ("resnet", {"size": "8"}, {"stem_conv": 4, "stage1_block1_conv1": 3, "stage1_block1_norm2": 3,
                               "stage3_block1_conv2": 1, "logits": 0}),
    ("cct", {"size": "2/3x2"}, {"conv1": 3, "conv2": 3, "position": 3, "block1_norm1": 2, "block2_norm1": 1, "norm": 0,
                                "pool_scores": 0, "logits": 0}),
    ("alexnet", {"size": "mu"}, {"stage1_conv": 3, "stage3_conv": 1, "logits": 0}),
    ("vgg", {"size": "mu", "norm": True}, {"stage1_conv1": 2, "stage1_norm1": 2, "stage2_conv1": 1, "logits": 0}),
    ("inception", {"size": "mu"}, {"stem_1_conv": 3, "block1_branch1_1_conv": 2, "block2_branch1_1_norm": 1,
                                   "logits": 0}),
    ("mobilenet", {"size": "mu"}, {"stem_conv": 4, "stage1_block1_filter_conv": 3, "stage2_block1_expand_norm": 2,
                                   "last_conv": 1, "last_norm": 1, "logits": 0}),
    ("convnext", {"size": "mu", "patch": 2}, {"stem_conv": 4, "stem_norm": 4, "stage1_block1_scale": 3,
                                              "stage2_block1_up": 1, "norm": 0, "logits": 0}),
    ("mlp", {"size": "512-512"}, {"hidden1": 2, "features": 1, "logits": 0}),
    ("mlp", {"size": "512-512", "norm": True}, {"hidden1_dense": 2, "hidden1_norm": 2, "features_dense": 1,
                                                "features_norm": 1, "logits": 0}),
    ("linear", {}, {"logits": 0}),
])
def test_depths(model, args, expected):
    found = depths(zoo.build(model, (8, 8, 1), 10, **args))
    assert {name: found[name] for name in expected} == expected
    assert found.keys() == {layer.name for layer in zoo.build(model, (8, 8, 1), 10, **args).layers if layer.weights}


@pytest.mark.parametrize("size, expected", [
    ("kim", {"scale": 2, "width3_conv": 1, "width4_conv": 1, "width5_conv": 1, "logits": 0}),
    ("fcn", {"scale": 4, "layer1_conv": 3, "layer2_norm": 2, "layer3_norm": 1, "logits": 0})])
def test_depths_of_series(size, expected):
    found = depths(zoo.build("conv1d", (12, 2), 3, size=size))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("end", [[], [keras.layers.Dropout(0.1), keras.layers.Softmax()]])
def test_depths_of_a_users_network(end):
    """Named by Keras: a normalisation belongs to the layer before it, and the head is what makes the answers."""
    layers = keras.layers
    network = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Normalization(name="normalization"), layers.Conv2D(4, 3, name="conv2d"),
        layers.BatchNormalization(name="batch_normalization"), layers.ReLU(), layers.Conv2D(4, 3, name="conv2d_1"),
        layers.BatchNormalization(name="batch_normalization_1"), layers.Flatten(), layers.Dense(3, name="dense"), *end])
    assert depths(network) == {"normalization": 3, "conv2d": 2, "batch_normalization": 2, "conv2d_1": 1,
                               "batch_normalization_1": 1, "dense": 0}


def test_depths_with_two_heads_and_a_model_in_a_model():
    inner = keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(4)], name="base")
    inputs = keras.Input((5, 4))
    x = keras.layers.LayerNormalization(name="first_norm")(inner(inputs))
    x = keras.layers.LayerNormalization(name="layer_normalization")(x + keras.layers.Dense(4, name="mix")(x))
    ends = {name: keras.layers.Dense(2, name=name)(x) for name in ("answers2", "doubts")}
    network = keras.Model(inputs, ends | {"answers2": keras.ops.softmax(ends["answers2"])})
    assert depths(network) == {"base": 2, "first_norm": 2, "mix": 1, "layer_normalization": 0, "answers2": 0,
                               "doubts": 0}


def test_layers_that_round_are_no_blocks():
    network = zoo.build("mlp", (8, 8, 1), 10, size="512-512")
    aware = quantize_aware(network, "int8", np.zeros((4, 8, 8, 1), "float32"))
    assert depths(aware) == depths(network)


def moved(name, layer_decay, weight_decay=0.0, gradient=1.0):
    """{path: by how much each variable moves in one step}, and the network's depths."""
    network = zoo.build("vit", (8, 8, 1), 10, size="mu", patch=4)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(1 + rng.random(variable.shape))
    before = [variable.numpy() for variable in network.trainable_variables]
    recipe = PLAIN.override(optimizer=name, schedule="constant", lr=0.1, weight_decay=weight_decay,
                            layer_decay=layer_decay)
    made = optimizer(recipe, network, STEPS)
    made.build(network.trainable_variables)
    made.apply([keras.ops.convert_to_tensor(gradient * rng.normal(size=variable.shape).astype("float32"))
                for variable in network.trainable_variables])
    change = {variable.path: variable.numpy() - old
              for variable, old in zip(network.trainable_variables, before, strict=True)}
    return change, depths(network)


@OPTIMIZERS
@pytest.mark.parametrize("weight_decay, gradient", [(0.5, 1.0), *(
    pytest.param(*one, marks=pytest.mark.soak) for one in ((0.0, 1.0), (0.5, 0.0)))])
def test_each_layer_takes_its_share_of_the_step_and_of_the_decay(name, weight_decay, gradient):
    """0.5 to the power of the depth, under both of Muon's rules, whether or not there is a gradient."""
    whole, below = moved(name, 1.0, weight_decay, gradient)
    shares, _ = moved(name, 0.5, weight_decay, gradient)
    for path, change in whole.items():
        share = 0.5 ** below[path.split("/")[0]]
        np.testing.assert_allclose(shares[path], share * change, rtol=2e-4, atol=2e-6, err_msg=path)
