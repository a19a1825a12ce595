"""Every fused form computes what Keras' own does, and leaves no trace in the file."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasdl import zoo
from kerasdl.objectives import average
from kerasdl.zoo import resnet, vit

# What two orders of rounding may differ by, as a share of the largest number.
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 3e-2}
FORMS = {
    "norm": (lambda: layers.BatchNormalization(momentum=0.9, epsilon=1e-5), (6, 5, 8)),
    "norm_alone": (lambda: layers.BatchNormalization(scale=False, center=False), (6, 5, 8)),
    "norm_scale": (lambda: layers.BatchNormalization(center=False), (6, 5, 8)),
    "row_norm": (lambda: layers.LayerNormalization(epsilon=1e-6), (7, 24)),
    "gelu": (lambda: layers.Dense(24, activation=vit.gelu), (7, 16)),
    "keras_gelu": (lambda: layers.Dense(24, activation="gelu"), (16,)),
    "attention": (lambda: layers.MultiHeadAttention(2, 12), (7, 24)),
    "shortcut": (lambda: resnet.PadShortcut(16, 2), (7, 6, 8)),
}
POLICIES = pytest.mark.parametrize("policy", TOLERANCE)


def network(form, policy="float32"):
    """The layer in a model, and its twin of equal weights, which is fused."""
    make, shape = FORMS[form]
    keras.config.set_dtype_policy(policy)
    try:
        layer, inputs = make(), keras.Input(shape)
        both = isinstance(layer, layers.MultiHeadAttention)
        plain = keras.Model(inputs, layer(inputs, inputs) if both else layer(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    random = np.random.default_rng(0)
    plain.set_weights([random.uniform(0.5, 1.5, w.shape) if "gamma" in w.path or "variance" in w.path
                       else random.normal(0, 0.2, w.shape) for w in plain.weights])
    twin = average.copy(plain)
    fast_layers.fuse(twin)
    assert type(twin.layers[-1]) in fast_layers.FORMS.values()
    return plain, twin


def results(model, x, training, jit=False):
    """The output, the gradients of the input and of every weight, and what the layer keeps."""
    x = tf.constant(x)
    up = tf.constant(np.random.default_rng(2).normal(size=model(x).shape), "float32")

    @tf.function(jit_compile=jit)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=training)
            total = tf.reduce_sum(tf.cast(y, "float32") * up)
        # The scores do not change with the key's bias, so that its gradient is only what rounding left.
        weights = [w.value for w in model.trainable_weights if "key/bias" not in w.path]
        return y, *tape.gradient(total, [x, *weights])

    found = run()
    kept = [w.value for w in model.non_trainable_weights]
    return [tf.cast(value, "float32").numpy() for value in (*found, *kept)], found[0].dtype


@POLICIES
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_values_gradients_and_statistics_are_keras(form, training, policy):
    plain, twin = network(form, policy)
    x = np.random.default_rng(1).normal(0.5, 2, (8, *FORMS[form][1])).astype("float32")
    ours, theirs = (results(model, x, training) for model in (twin, plain))
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE[policy] * (np.abs(b).max() + 1e-3))
    if "norm" in form and "row" not in form and training:
        for a, b in zip(ours[0][-2:], theirs[0][-2:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg="moving statistics")


@pytest.mark.parametrize("form", FORMS)
def test_also_within_a_compiled_step(form):
    plain, twin = network(form)
    x = np.random.default_rng(1).normal(0.5, 2, (8, *FORMS[form][1])).astype("float32")
    for a, b in zip(results(twin, x, True, jit=True)[0], results(plain, x, True)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * (np.abs(b).max() + 1e-3))


def test_a_batch_of_one_number():
    """Its unbiased variance would be 0 / 0."""
    plain, twin = network("norm")
    for model in (plain, twin):
        model.layers[-1](tf.ones((1, 1, 1, 8)), training=True)
    for a, b in zip(plain.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_masks_and_shared_statistics_go_keras_way(monkeypatch):
    plain, twin = network("norm")
    x = tf.constant(np.random.default_rng(1).normal(size=(4, 6, 5, 8)), "float32")
    mask = tf.constant(np.random.default_rng(2).random((4, 6, 5)) > 0.5)
    outs = [model.layers[-1](x, training=True, mask=mask) for model in (plain, twin)]
    np.testing.assert_array_equal(*outs)
    twin.layers[-1].synchronized = plain.layers[-1].synchronized = True
    np.testing.assert_array_equal(*(model(x, training=True) for model in (plain, twin)))
    plain, twin = network("attention")
    x, mask = tf.random.normal((4, 7, 24)), tf.constant(np.tri(7)[None] > 0)
    for arguments in ({"attention_mask": mask}, {"use_causal_mask": True}, {"return_attention_scores": True}):
        outs = [tf.nest.flatten(model.layers[-1](x, x, **arguments))[0] for model in (plain, twin)]
        np.testing.assert_array_equal(*outs)


def test_attention_to_other_tokens():
    plain, twin = network("attention")
    x, y = tf.random.normal((4, 7, 24), seed=0), tf.random.normal((4, 5, 24), seed=1)
    np.testing.assert_allclose(*(model.layers[-1](x, y, y) for model in (plain, twin)), atol=1e-5)


def test_the_gradient_of_gelu_is_the_slope_of_gelu():
    x = tf.constant(np.linspace(-5, 5, 41), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = fast_layers.gelu(x)
    wide = x.numpy().astype("float64")
    above, below = (np.asarray(vit.gelu(tf.constant(wide + step, "float64"))) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(tape.gradient(y, x), (above - below) / 2e-5, atol=1e-6)


def dropped(seed, size=(100, 1000), rate=0.25):
    return fast_layers.thinned(tf.ones(size), tf.constant(seed, "int64"), rate).numpy()


def test_dropout_is_fair_and_each_draw_its_own():
    """Of 100,000 the share has a deviation of 0.0014; so has what two draws have in common."""
    draws = [dropped(seed) > 0 for seed in ([1, 0], [1, 1], [2, 0], [2, 1], [2**31 - 2, 7])]
    for draw in draws:
        assert abs(draw.mean() - 0.75) < 0.006
        assert abs(draw.mean(0).std() - np.sqrt(0.75 * 0.25 / 100)) < 0.004  # no column is favoured
        for shift in (1, 2, 1000):
            flat = draw.ravel()
            assert abs((flat[shift:] & flat[:-shift]).mean() - 0.75**2) < 0.008
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert abs((a & b).mean() - 0.75**2) < 0.008
    np.testing.assert_array_equal(dropped([1, 0]), dropped([1, 0]))
    np.testing.assert_allclose(np.unique(dropped([1, 0])), [0, 4 / 3])


def test_dropout_layer_scales_its_gradient_by_its_own_mask():
    inputs = keras.Input((50,))
    model = keras.Model(inputs, layers.Dropout(0.5, seed=3)(inputs))
    fast_layers.fuse(model)
    x = tf.random.normal((20, 50))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)
    assert not np.array_equal(y, model(x, training=True))
    np.testing.assert_array_equal(model(x), x)


OPTIMIZERS = {
    "adamw": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1}),
    "adamw_no_decay": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.0, "beta_2": 0.95, "epsilon": 1e-3}),
    "adamw_clip": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1, "global_clipnorm": 0.5}),
    "amsgrad": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1, "amsgrad": True}),
    "sgd": (keras.optimizers.SGD, fast_layers.SGD, {"momentum": 0.9, "weight_decay": 0.1, "clipnorm": 0.5}),
    "nesterov": (keras.optimizers.SGD, fast_layers.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "sgd_alone": (keras.optimizers.SGD, fast_layers.SGD, {"weight_decay": 0.1}),
    "accumulate": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1, "gradient_accumulation_steps": 2}),
}


def after_ten_steps(optimizer, arguments, jit):
    random = np.random.default_rng(0)
    weights = [keras.Variable(random.normal(size=shape), dtype="float32", name=name) for name, shape in
               (("kernel", (13, 7)), ("bias", (7,)), ("table", (3, 5)))]
    made = optimizer(keras.optimizers.schedules.CosineDecay(0.02, 20), **arguments)
    made.exclude_from_weight_decay(weights[1:2])
    made.build(weights)
    step = tf.function(lambda *grads: made.apply(grads, weights), jit_compile=jit)
    for _ in range(10):
        step(*(tf.constant(random.normal(size=w.shape), "float32") for w in weights))
    return [w.numpy() for w in weights], {v.path: v.numpy() for v in made.variables}, made.get_config()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_keras_steps_and_keep_keras_state(name, jit):
    plain, ours, arguments = OPTIMIZERS[name]
    keras.backend.clear_session()
    weights, state, config = after_ten_steps(plain, arguments, False)
    keras.backend.clear_session()
    found, kept, told = after_ten_steps(ours, arguments, jit)
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert kept.keys() == state.keys() and told == config
    for key in state:
        np.testing.assert_allclose(kept[key], state[key], atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name, args", [("vit", {"size": "mu", "patch": 4, "drop": 0.1}), ("resnet", {"size": "mu"})])
def test_the_saved_file_is_keras_own(name, args, tmp_path):
    plain = zoo.build(name, (8, 8, 3), 4, **args)
    config = plain.get_config()
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("float32")
    expected = plain(x)
    fast_layers.fuse(plain)
    assert any(type(layer) in fast_layers.FORMS.values() for layer in plain.layers)
    twin = average.copy(plain)
    np.testing.assert_allclose(twin(x), expected, atol=1e-5)
    for i, model in enumerate((plain, twin)):
        fast_layers.unfuse(model)
        assert model.get_config() == config
        model.save(tmp_path / f"{i}.keras")
        with zipfile.ZipFile(tmp_path / f"{i}.keras") as file:
            assert b"fused" not in file.read("config.json")
    load = ("import sys, numpy, keras, kerasdl.zoo; kerasdl.zoo.register(); "
            "model = keras.models.load_model(sys.argv[1]); x = numpy.load(sys.argv[2]); "
            "numpy.save(sys.argv[2], keras.ops.convert_to_numpy(model(x))); "
            "assert not any('kerasdl.train' in name for name in sys.modules)")
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", load, tmp_path / "0.keras", tmp_path / "x.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)


def test_only_known_layers_are_fused():
    class Own(layers.BatchNormalization):
        pass

    inputs = keras.Input((4, 4, 3))
    x = Own(name="own")(inputs)
    x = layers.BatchNormalization(axis=1, name="rows")(x)
    x = layers.Dropout(0.5, noise_shape=(None, 1, 1, 3), name="maps")(x)
    x = layers.LayerNormalization(axis=(1, 2), name="planes")(x)
    x = layers.Dense(3, activation="relu", name="relu")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.BatchNormalization(name="flat")(x))
    fast_layers.fuse(model)
    assert not any(type(layer) in fast_layers.FORMS.values() for layer in model.layers)


@pytest.mark.soak
def test_two_replicas_draw_and_step_as_one(tmp_path):
    """Islands and fused optimizers run on a second device; the sums of two halves are those of the whole."""
    program = """
import numpy as np, keras, tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                           [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasdl import zoo
from kerasdl.train import fast_layers, replicas
x = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)).astype("float32")
y = np.eye(4, dtype="float32")[np.arange(16) % 4]
for optimizer in (fast_layers.AdamW, fast_layers.SGD):
    found = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            network = zoo.build("vit", (8, 8, 1), 4, size="mu", patch=4, drop=0.2 if optimizer is fast_layers.SGD else 0.0)
            distribute_fixes.own_noise(network)
            fast_layers.fuse(network)
            model = replicas.compose([replicas.FitsReplicas], network)
            made = distribute_fixes.clip_after_reduce(optimizer)(0.01, weight_decay=0.1, global_clipnorm=0.5,
                                                         **({"momentum": 0.9} if optimizer is fast_layers.SGD else {}))
            made.exclude_from_weight_decay([v for v in model.trainable_variables if v.name != "kernel"])
            model.compile(made, keras.losses.CategoricalCrossentropy(from_logits=True))
            replicas.build(model)
        data = tf.data.Dataset.from_tensors((x, y)).unbatch().batch(16, drop_remainder=True).repeat(4)
        model.fit(data, verbose=0)
        found.append([w.numpy() for w in model.trainable_weights if "key/bias" not in w.path])
    apart = max(np.abs(a - b).max() for a, b in zip(*found))
    assert optimizer is fast_layers.SGD and 1e-6 < apart < 1 or apart < 1e-5, apart
"""
    file = tmp_path / "two.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
