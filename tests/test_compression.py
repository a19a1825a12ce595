"""Smaller networks: what is folded, removed, rounded or set to zero changes what it should, and nothing else."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.compression import channels, sparsity
from kerasdl.compression.fold import folded
from kerasdl.compression.quantize_aware import is_aware, quantize_aware
from kerasdl.data import from_arrays
from kerasdl.data import load as load_split
from kerasdl.deploy import formats, measure
from kerasdl.devices import distribute_fixes
from kerasdl.errors import Impossible, UserError
from kerasdl.files import write_json
from kerasdl.objectives.distill import Distill
from kerasdl.objectives.sections import Findings
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import compressed, record
from kerasdl.train.fit import train
from kerasdl.zoo import transformer
from kerasdl.zoo.cost import multiply_adds
from kerasdl.zoo.fake_quantized import ROUNDED

RANDOM = np.random.default_rng(0)


def made(name, **args):
    """A network with other weights than the first ones, which hide what a normalisation does, and images for it."""
    keras.utils.set_random_seed(0)
    network = harness.randomise(zoo.build(name, (16, 16, 3), 5, **args))
    return network, np.random.default_rng(1).integers(0, 256, (32, 16, 16, 3)).astype("float32")


CONVOLUTIONS = {"resnet": {"size": "8"}, "mobilenet": {"size": "mu"}, "vgg": {"size": "mu", "norm": True},
                "inception": {"size": "mu"}, "cnn": {"size": "mu"}, "mlp": {"size": "mu"}}


# Folding

@pytest.mark.parametrize("name, stay", [("resnet", 0), ("mobilenet", 0), ("vgg", 0), ("cnn", None)])
def test_folded_norms_compute_the_same(name, stay):
    network, x = made(name, **CONVOLUTIONS[name])
    plain = folded(network)
    norms = [sum(isinstance(layer, keras.layers.BatchNormalization) for layer in one.layers)
             for one in (network, plain)]
    assert norms[1] == stay if stay is not None else norms[1] <= norms[0]
    wanted = network.predict_on_batch(x)
    np.testing.assert_allclose(plain.predict_on_batch(x), wanted, atol=2e-6 * np.ptp(wanted))


def test_series_with_masks_are_compressed_too():
    network = harness.randomise(zoo.build("conv1d", (12, 2), 5, size="mu"))
    x = np.random.default_rng(1).normal(size=(32, 12, 2)).astype("float32")
    x[:10, 9:] = np.nan
    wanted = network.predict_on_batch(x)
    np.testing.assert_allclose(folded(network).predict_on_batch(x), wanted, atol=2e-6 * np.ptp(wanted))
    rounding = quantize_aware(network, "int8", x).predict_on_batch(x)
    assert 0 < np.abs(rounding - wanted).max() < 0.1 * np.ptp(wanted)
    assert multiply_adds(channels.slimmed(network, 0.3, 12), 12) <= 0.7 * multiply_adds(network, 12)


def test_what_goes_is_a_share_of_the_work_of_all_steps():
    """The matrices have most of the work of one step, and the filters that of many."""
    inputs = keras.Input((None, 2))
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(16, 3)(inputs))
    network = harness.randomise(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(200)(x))))
    small = channels.slimmed(network, 0.3, 500)
    assert 0.6 < multiply_adds(small, 500) / multiply_adds(network, 500) <= 0.7


# Whole channels

def of_operations():
    """A network as users write it: `+` and keras.ops between layers."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, padding="same")(inputs)
    y = keras.ops.relu(keras.layers.Conv2D(8, 3, padding="same")(x))
    x = keras.layers.BatchNormalization()(x + y)
    x = keras.layers.Conv2D(16, 3)(keras.ops.relu(x))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def test_operations_that_are_no_layers_keep_their_channels():
    network, x = of_operations(), np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(folded(network)(x), network(x, training=False), atol=1e-5)
    small = channels.slimmed(network, 0.2)
    assert multiply_adds(small) < multiply_adds(network) and np.isfinite(small(x)).all()
    with pytest.raises(ValueError, match="operations between its layers"):
        quantize_aware(network, "int8", x)


def test_a_network_of_texts_is_compressed_too():
    network = zoo.build("conv1d", (12,), 3, size="mu", vocabulary=20)
    tokens = np.random.default_rng(0).integers(0, 20, (8, 12)).astype("int32")
    assert channels.slimmed(network, 0.3).count_params() < network.count_params()
    assert np.isfinite(quantize_aware(network, "int8", tokens)(tokens)).all()


def test_a_sequential_network_is_a_graph():
    network, x = harness.in_a_row(), np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")
    wanted = network.predict_on_batch(x)
    np.testing.assert_allclose(folded(network)(x), wanted, atol=1e-5 * np.ptp(wanted))
    assert multiply_adds(channels.slimmed(network, 0.3)) <= 0.7 * multiply_adds(network)
    assert is_aware(quantize_aware(network, "int8", x))


def test_a_model_in_a_model_is_refused():
    network = keras.Sequential([keras.Input((8, 8, 1)), harness.in_a_row(), keras.layers.Dense(2)])
    for change in (lambda: channels.slimmed(network, 0.3), lambda: quantize_aware(network, "int8", np.zeros(0))):
        with pytest.raises(ValueError, match="calls the model sequential.* as a layer.*input_tensor="):
            change()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_surgery_equals_channels_that_are_zero(name):
    network, x = made(name, **CONVOLUTIONS[name])
    found = channels.Channels(network)
    gone = channels.chosen(network, found, 0.4)
    small, zero = (how(network, found, gone) for how in (channels.without, zeroed))
    wanted = zero.predict_on_batch(x)
    np.testing.assert_allclose(small.predict_on_batch(x), wanted, atol=2e-6 * np.ptp(wanted))
    assert np.abs(wanted - network.predict_on_batch(x)).max() > 0.01 * np.ptp(wanted)  # they were of use
    assert multiply_adds(small) <= 0.6 * multiply_adds(network)
    assert round(channels.remaining(network, found, gone)) == multiply_adds(small)


def zeroed(network, found, gone):
    """The network in the shapes that it had, with channels that are always zero."""
    twin = keras.models.clone_model(network)
    for layer in network.layers:
        made = np.array([group not in gone for group in found.made[layer.name]], "float32")
        kept = layer.get_weights()
        if isinstance(layer, channels.FILTERS):
            kept = [one * made for one in kept]
        elif isinstance(layer, keras.layers.DepthwiseConv2D) and layer.depth_multiplier == 1:
            kept = [kept[0] * made[:, None], *(one * made for one in kept[1:])]
        elif isinstance(layer, keras.layers.BatchNormalization):
            kept = [one if weight.name == "moving_variance" else one * made
                    for weight, one in zip(layer.weights, kept, strict=True)]
        twin.get_layer(layer.name).set_weights(kept)
    return twin


def test_filters_in_groups_keep_their_channels():
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.Conv2D(16, 3, groups=4, padding="same")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    network = harness.randomise(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(
        keras.layers.Conv2D(16, 3)(x)))))
    images = RANDOM.normal(size=(4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(folded(network)(images), network(images, training=False), rtol=1e-4, atol=1e-4)
    found = channels.Channels(network)
    gone = channels.chosen(network, found, 0.1)
    small, wanted = channels.without(network, found, gone), zeroed(network, found, gone)(images, training=False)
    np.testing.assert_allclose(small(images, training=False), wanted, rtol=1e-4, atol=1e-4)
    assert gone and small.layers[2].groups == 4 and small.layers[2].filters == 16


def test_a_residual_is_one_group():
    """The stem, the second convolution of a block and what pads the way past a stage keep the same channels."""
    network, _ = made("resnet", size="8")
    found = channels.Channels(network)
    assert (found.made["stem_conv"] == found.made["stage1_block1_conv2"]).all()
    assert (found.made["stage1_block1_add"] == found.made["stage2_block1_conv2"][:16]).all()
    assert not set(found.made["stage1_block1_conv1"]) & set(found.made["stem_conv"])
    small = channels.slimmed(network, 0.3)
    assert len(channels.Channels(small).made["stem_conv"]) < 16


def test_what_cannot_go_is_said():
    with pytest.raises(ValueError, match="can lose .* of its multiply-adds by whole channels.*99% is asked for"):
        channels.slimmed(made("resnet", size="mu")[0], 0.99)


# Zeros

def test_the_share_of_zeros_is_exact_and_no_layer_dies():
    values = [RANDOM.normal(size=(20, 30)), 1e-4 * RANDOM.normal(size=(3, 3, 4, 5)), RANDOM.normal(size=(30, 2))]
    for share in (0.0, 0.5, 0.9, 0.99):
        masks = sparsity.masks_of(values, share)
        assert sum((mask == 0).sum() for mask in masks) == round(share * 840)
        for kernel, mask in zip(values, masks, strict=True):
            assert mask.ravel()[np.abs(kernel).argmax()] == 1
            assert np.abs(kernel[mask == 0]).max(initial=0) <= np.abs(kernel[mask == 1]).min()


def test_the_schedule_rises_to_the_target_and_stays():
    shares = [sparsity.share_of_zeros(epoch, 8, 0.8) for epoch in range(8)]
    assert shares == sorted(shares) and shares[5:] == [0.8] * 3 and 0 < shares[0] < shares[4] < 0.8


def test_a_pruned_run_has_its_zeros_in_the_kept_weights(here):
    recipe = Recipe(model="mlp", model_args={"size": "mu"}, data="digits", batch=256, epochs=4, ema=0.9, prune=0.8,
                    lr=1e-2)
    run = train(recipe, workdir=here / "run", verbose=False)
    assert sparsity.zeros(run.model()) == pytest.approx(0.8, abs=1e-3)
    assert run.result["best_epoch"] >= 3  # before, not all have gone
    assert run.result["zeros"] == pytest.approx(0.8, abs=1e-3)


def test_a_callback_that_ends_the_training_before_all_are_pruned_is_said(here, caplog):
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=1e9, patience=1)
    run = train("mlp_digits", epochs=8, batch=256, prune=0.5, callbacks=stop, workdir=here / "run", verbose=False)
    share = sparsity.share_of_zeros(1, 8, 0.5)
    assert run.result["train"]["epochs"] == 2 and run.result["zeros"] == pytest.approx(share, abs=1e-3)
    (said,) = [line for line in caplog.messages if "prune" in line]
    assert f"prune=0.5 is not reached: {share:.0%}".replace("%", " %") in said and "after epoch 2" in said


def test_a_network_without_a_kernel_that_learns_is_not_pruned():
    network = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    with pytest.raises(UserError, match="prune=0.5 finds no kernel"):
        compressed.pruner(Recipe(model="mlp", data="digits", prune=0.5), network, network, network)


# Rounding

@pytest.mark.parametrize("name", ["resnet", pytest.param("mobilenet", marks=pytest.mark.soak)])
def test_the_8_bit_file_answers_as_the_network_that_rounds(tmp_path, name):
    """To a few steps of the last layer, and less than one in the mean: a sum between two of a layer's numbers is
    rounded to one in float32 and may be rounded to the other in integers, and the next layers pass that on."""
    try:
        litert = formats.find("litert", "int8")
    except UserError as error:
        pytest.skip(str(error))
    network, x = made(name, **CONVOLUTIONS[name])
    aware = quantize_aware(network, "int8", x)
    assert is_aware(aware) and not is_aware(network)
    litert.write(aware, str(tmp_path / "model.tflite"), "int8", x[:0])
    found = measure.in_batches(litert.load(str(tmp_path / "model.tflite"), 1), x)
    wanted, last = aware.predict_on_batch(x), aware.layers[-1]
    step = (float(last.high) - min(float(last.low), 0)) / 255
    assert np.abs(found - wanted).max() < 3.01 * step
    assert np.abs(found - wanted).mean() < step
    assert len(np.unique(np.rint(wanted / step))) > 20
    assert np.abs(wanted - network.predict_on_batch(x)).max() < 0.1 * np.ptp(wanted)


def test_a_dead_channel_stays_dead_in_the_8_bit_file(tmp_path):
    """Weight decay brings filters to nothing. A file counts a bias in steps of its filter's, which then were too small
    for 32 bits, and the sum came out positive."""
    litert = pytest.importorskip("kerasdl.deploy.formats.litert")
    pytest.importorskip("ai_edge_litert")
    inputs = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    maps = conv(keras.layers.Rescaling(0.5)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(maps)))
    kernel, x = np.asarray(conv.kernel), RANDOM.normal(size=(32, 8, 8, 3)).astype("float32")
    conv.kernel.assign(kernel * [5e-6, 1, 1, 1])
    conv.bias.assign([-2.4, 0.1, 0.2, 0.3])
    aware = quantize_aware(network, "int8", x)
    litert.write(aware, str(tmp_path / "model.tflite"), "int8", x[:0])
    apart = litert.load(str(tmp_path / "model.tflite"), 1)(x) - aware.predict_on_batch(x)
    last = aware.layers[-1]
    assert np.abs(apart).max() < 3.01 * (float(last.high) - min(float(last.low), 0)) / 255


def test_one_layer_of_the_8_bit_file_is_the_rounded_one_to_a_step(tmp_path):
    """Each number is the same, or the next one: one in a hundred at most."""
    try:
        litert = formats.find("litert", "int8")
    except UserError as error:
        pytest.skip(str(error))
    inputs = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    network = harness.randomise(keras.Model(inputs, layer))
    x = np.random.default_rng(1).integers(0, 256, (32, 8, 8, 3)).astype("float32")
    aware = quantize_aware(network, "int8", x)
    litert.write(aware, str(tmp_path / "model.tflite"), "int8", x[:0])
    found = measure.in_batches(litert.load(str(tmp_path / "model.tflite"), 1), x)
    step = float(aware.layers[-1].high) / 255
    apart = np.rint((found - aware.predict_on_batch(x)) / step)
    assert np.abs(apart).max() <= 1 and (apart != 0).mean() < 0.01


def test_fewer_bits_round_more():
    network, x = made("vgg", **CONVOLUTIONS["vgg"])
    wanted = network.predict_on_batch(x)
    apart = [np.abs(quantize_aware(network, kind, x).predict_on_batch(x) - wanted).mean() for kind in ("int8", "int4")]
    assert apart[1] > 4 * apart[0] > 0


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("layer, shape", [
    ("Conv1D", (9, 3)), ("Conv2D", (6, 6, 3)), ("DepthwiseConv2D", (6, 6, 96)), ("Dense", (50,))])
def test_rounding_passes_the_gradient_of_every_weight(bits, layer, shape):
    """Of the largest one, too, which the operation's own rounding of its ends may leave outside; and training rounds to
    the numbers that inference does."""
    plain = getattr(keras.layers, layer)
    made = ROUNDED[plain](bits=bits, **({"units": 96} if layer == "Dense" else {"kernel_size": 3}),
                          **({"filters": 96} if layer in ("Conv1D", "Conv2D") else {}))
    x = np.random.default_rng(2).normal(size=(4, *shape)).astype("float32")
    made.build(x.shape)
    made.kernel.assign(np.random.default_rng(3).normal(size=made.kernel.shape))
    np.testing.assert_array_equal(made(x, training=True), made(x, training=False))
    twin = plain.from_config({key: value for key, value in made.get_config().items() if key != "bits"})
    twin.build(x.shape)
    np.testing.assert_allclose(gradient(made, x), gradient(twin, x), rtol=1e-4, atol=1e-4)


def gradient(layer, x):
    """Of the sum of what a layer gives, which is the same for any kernel."""
    with tf.GradientTape() as tape:
        total = keras.ops.sum(layer(x, training=True) if hasattr(layer, "bits") else layer(x))
    return tape.gradient(total, layer.kernel.value)


def test_a_network_that_rounds_is_not_trained_to_round_otherwise():
    aware = quantize_aware(harness.in_a_row(), "int8", np.zeros((4, 8, 8, 1), "float32"))
    recipe = Recipe(model="cnn", data="digits", init="RUN", quantize="int8")
    assert compressed.begin((aware,), recipe, None) == (aware,)
    with pytest.raises(UserError, match="quantize=int4: init=RUN learned with weights of 8 bits"):
        compressed.begin((aware,), recipe.override(quantize="int4"), None)


def test_kernels_that_no_norm_follows_any_more_are_not_scaled():
    """Also of a run that began with one that rounds, and does not ask for it again."""
    network, words = harness.in_a_row(), "kernel_rms is for .*optimizer_args.kernel_rms=0"
    aware = quantize_aware(network, "int8", np.zeros((4, 8, 8, 1), "float32"))
    recipe = Recipe(model="cnn", data="digits", init="RUN", optimizer="muon", optimizer_args={"kernel_rms": 0.05})
    assert compressed.begin((network,), recipe, None) == (network,)
    for started, quantize in ((network, "int8"), (aware, "int8"), (aware, None)):
        with pytest.raises(UserError, match=words):
            compressed.begin((started,), recipe.override(quantize=quantize), None)
    assert compressed.begin((aware,), recipe.override("optimizer_args.kernel_rms=0", quantize="int8"), None) == (aware,)


def test_a_network_that_rounded_on_replicas_is_saved_as_one_that_did_not(tmp_path):
    """Its layers follow the range of all replicas meanwhile, in a class that no file names."""
    run, x = Run.create(Recipe(model="cnn", data="digits"), tmp_path), RANDOM.normal(size=(4, 8, 8, 1))
    aware = quantize_aware(harness.in_a_row(), "int8", x.astype("float32"))
    distribute_fixes.synchronize_ranges(aware)
    assert any(type(layer) is distribute_fixes.RangeOfAll for layer in aware.layers)
    record.save(run, aware)
    np.testing.assert_array_equal(run.model().predict_on_batch(x), aware.predict_on_batch(x))


def test_a_network_that_cannot_be_changed_is_told_from_other_mistakes():
    recipe, images = Recipe(model="cnn", data="digits", init="RUN"), np.zeros((4, 8, 8, 1), "float32")
    split = SimpleNamespace(example_shape=(8, 8, 1), sample=lambda count: images)
    with pytest.raises(Impossible, match="^quantize: .*operations between its layers"):
        compressed.begin((of_operations(),), recipe.override(quantize="int8"), split)
    with pytest.raises(Impossible, match="^prune_channels: "):
        compressed.begin((zoo.build("linear", (8, 8, 1), 10),), recipe.override(prune_channels=0.5), split)


# Distillation

def test_the_loss_is_that_of_the_papers():
    logits, taught = RANDOM.normal(size=(6, 4)).astype("float32"), 3 * RANDOM.normal(size=(6, 4)).astype("float32")
    y = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    labels = -(y * log_softmax(logits)).sum(1)
    apart = log_softmax(taught / 3) - log_softmax(logits / 3)
    wanted = {"soft": 9 * (np.exp(log_softmax(taught / 3)) * apart).sum(1),
              "hard": -log_softmax(logits)[np.arange(6), taught.argmax(1)]}
    for answers, part in wanted.items():
        args = {"teacher": "there", "answers": answers, "temperature": 3.0, "share": 0.7}
        objective = Distill(Recipe(model="linear", data="digits", objective="distill", objective_args=args))
        objective.teacher = lambda x, training: keras.ops.convert_to_tensor(taught)
        np.testing.assert_allclose(objective.compute_loss(None, y, logits), 0.3 * labels + 0.7 * part, rtol=1e-4)
        np.testing.assert_allclose(objective.validation_loss(None, y, logits), labels, rtol=1e-5)


def test_rows_have_a_teacher_too(tmp_path, table):
    split = load_split(f"csv:{table}", "train", label="kind")
    teacher = Run.create(Recipe(model="linear", data=f"csv:{table}"), tmp_path)
    (tmp_path / "model.keras").touch()
    write_json(tmp_path / "result.json", {})
    write_json(tmp_path / "data.json", split.describe())
    student = Distill(teacher.recipe.override(objective="distill", objective_args={"teacher": str(tmp_path)}))
    student.check(split)
    for other, words in (({"kind": "sequence", "shape": [5, 2]}, r"takes sequence examples \(5, 2\), and the data has "
                                                                 r"row examples \(5,\)"),
                         ({"shape": 6}, r"takes row examples \(6,\)"),
                         ({"reading": {"offsets": {"weight": 1e6}}}, "column 'weight' of .* stored minus 1000000, ")):
        write_json(tmp_path / "data.json", split.describe() | other)
        with pytest.raises(UserError, match=words):
            student.check(split)


def test_a_teacher_of_series_may_have_another_length_but_no_other_channels(tmp_path):
    series = from_arrays(np.zeros((12, 5, 2), "float32"), [0, 1] * 6)["train"]
    teacher = Run.create(Recipe(model="rnn", data="arrays"), tmp_path)
    (tmp_path / "model.keras").touch()
    write_json(tmp_path / "result.json", {})
    student = Distill(teacher.recipe.override(objective="distill", objective_args={"teacher": str(tmp_path)}))
    write_json(tmp_path / "data.json", series.describe() | {"shape": [9, 2]})
    student.check(series)
    write_json(tmp_path / "data.json", series.describe() | {"shape": [5, 3]})
    with pytest.raises(UserError, match=r"takes sequence examples \(5, 3\), and the data has .* \(5, 2\)"):
        student.check(series)


def test_a_teacher_with_fewer_positions_than_the_data_has_steps_is_refused(monkeypatch):
    """In TensorFlow the first longer batch would fail."""
    series = from_arrays(np.zeros((12, 5, 2), "float32"), [0, 1] * 6)["train"]
    recipe = Recipe(model="rnn", model_args={"size": "mu"}, data="arrays", objective="distill",
                    objective_args={"teacher": "x"})
    for longest in (5, 4):
        teacher = transformer.build((None, 2), 2, size="mu", longest=longest)
        monkeypatch.setattr(Distill, "taught_by", lambda self, own=teacher: SimpleNamespace(model=lambda: own))
        if longest == 5:
            Distill(recipe).network(series)
    with pytest.raises(UserError, match="x has positions for 4 steps.* Set data_args.length=4"):
        Distill(recipe).network(series)


def test_a_teacher_is_found_from_another_folder_as_data_is(here, monkeypatch):
    recipe = Recipe(model="linear", data="digits", objective="distill", objective_args={"teacher": "teacher"})
    Run.create(recipe, here / "teacher")
    run = Run.create(recipe, here / "run")
    (run.path / "data.json").write_text(json.dumps({"folder": str(here), "shape": [8, 8, 1]}))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert Distill(recipe, run.path).taught_by().path == here / "teacher"
    with pytest.raises(UserError, match="no run folder teacher"):
        Distill(recipe).taught_by()


def test_a_run_goes_on_with_the_teacher_that_it_began_with(tmp_path, table):
    splits = {"train": load_split(f"csv:{table}", "train", label="kind")}
    teacher = Run.create(Recipe(model="linear", data=f"csv:{table}"), tmp_path / "teacher")
    (teacher.path / "model.keras").write_bytes(b"first")
    recipe = teacher.recipe.override(objective="distill", objective_args={"teacher": str(teacher.path)})
    run = Run.create(recipe, tmp_path / "run")
    setup = SimpleNamespace(splits=splits, is_chief=True, recipe=recipe, initial=None, objective=Distill(recipe))
    for _ in range(2):
        record.begin(run, setup, {}, None)
    (teacher.path / "model.keras").write_bytes(b"another")
    with pytest.raises(UserError, match="began with another teacher"):
        record.begin(run, setup, {}, None)


@pytest.mark.parametrize("measured", [(), ("val",), ("test",)])
def test_a_teacher_may_lack_the_scores_of_a_split(tmp_path, measured):
    """A trial of a search has none on the test split, and an ensemble those of one split."""
    recipe = Recipe(model="linear", data="digits", objective="distill", objective_args={"teacher": str(tmp_path)})
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    write_json(tmp_path / "result.json", {"parameters": 5, **{split: {"accuracy": 0.5} for split in measured}})
    found = Distill(recipe).facts({}, None)
    result = {"recipe": "mine", "parameters": 7, "val": {"accuracy": 0.25}, "test": {"accuracy": 0.25}, **found}
    body = Distill(recipe).sections(Findings(None, None, result, "digits", tmp_path))[0].body
    assert body.count("50.00%") == len(measured) and body.count("not measured") == 2 - len(measured)
