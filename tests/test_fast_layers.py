"""Every fast form computes what Keras' own layer does, and exists only while a training step is traced."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasdl import zoo
from kerasdl.objectives import average
from kerasdl.train import fast_layers, loop
from kerasdl.zoo import vit

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
    "patches": (lambda: layers.Conv2D(8, (2, 3), (2, 3)), (4, 9, 5)),
    "patches_relu": (lambda: layers.Conv2D(8, 2, 2, use_bias=False, activation="relu"), (4, 6, 1)),
    "patches_cut": (lambda: layers.Conv2D(8, 2, 2), (5, 6, 3)),  # a row of pixels is left over
}
OPEN = []  # contexts that stay open: a generator that is collected would close


def replace(model):
    """Give the layers their fast forms until the end of the tests."""
    OPEN.append(fast_layers.replacing(model))
    OPEN[-1].__enter__()


POLICIES = pytest.mark.parametrize("policy", TOLERANCE)


def network(form, policy="float32"):
    """Return the layer in a model, and its twin of equal weights, which has the fast form."""
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
    replace(twin)
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


def textbook(policy="float32", **changes):
    """A convolution, a pool and a layer behind them, and a twin of equal weights whose pool has the fast form."""
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    try:
        inputs = keras.Input((9, 8, 3))
        maps = layers.Conv2D(5, 3, **{"activation": "relu", "bias_initializer": "normal"} | changes)(inputs)
        plain = keras.Model(inputs, layers.Flatten()(layers.MaxPooling2D(3, 2, padding="same")(maps)))
    finally:
        keras.config.set_dtype_policy("float32")
    twin = average.copy(plain)
    replace(twin)
    return plain, twin


@POLICIES
@pytest.mark.parametrize("jit", [False, True])
def test_bias_and_relu_may_come_behind_a_maximum(policy, jit):
    """As they do not decrease. A maximum of more digits finds one where Keras sees several that are equal."""
    plain, twin = textbook(policy)
    assert isinstance(twin.layers[1], fast_layers.Conv2D) and isinstance(twin.layers[2], fast_layers.MaxPooling2D)
    x = np.random.default_rng(1).normal(size=(8, 9, 8, 3)).astype("float32")
    (ours, kind), (theirs, wanted) = results(twin, x, True, jit=jit), results(plain, x, True)
    assert kind == wanted and len(ours) == 4
    ties = {"float32": 0, "mixed_bfloat16": 0.06}[policy]  # what is equal only with the bias has its gradient elsewhere
    for a, b in zip(ours, theirs, strict=True):
        assert np.mean(np.abs(a - b) > TOLERANCE[policy] * np.abs(b).max()) <= ties


def test_what_else_reads_the_convolution_sees_keras_value():
    """Such as an objective that compares maps."""
    plain, _ = textbook()
    tap = keras.Model(plain.input, [plain.layers[1].output, plain.output])
    x = np.random.default_rng(1).normal(size=(4, 9, 8, 3)).astype("float32")
    wanted, run = tap(x), tf.function(lambda x: tap(x))
    with fast_layers.replacing(plain):
        found = run(x)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_layer_that_is_never_called_does_no_harm():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.unused = layers.Dense(3), layers.BatchNormalization()

        def call(self, x):
            return self.inner(x)

    inputs = keras.Input((4,))
    with fast_layers.replacing(keras.Model(inputs, Block()(inputs))):
        pass


def test_a_convolution_that_others_read_or_that_does_something_else_stays():
    def changed(network):
        with fast_layers.replacing(network):
            forms = (fast_layers.Conv2D, fast_layers.MaxPooling2D)
            return [layer for layer in network.layers if isinstance(layer, forms)]

    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, activation="relu")(inputs)
    least = layers.MaxPooling2D(2)(maps)
    assert len(changed(keras.Model(inputs, least))) == 2
    assert not changed(keras.Model(inputs, [least, layers.Flatten()(maps)]))
    for change in ({"activation": "tanh"}, {"use_bias": False}, {"activity_regularizer": "l2"}):
        assert not changed(textbook(**change)[0])
    class Half(layers.MaxPooling2D):
        def call(self, inputs):
            return super().call(inputs) / 2

    assert not changed(keras.Model(inputs, Half(2)(layers.Conv2D(4, 3, activation="relu")(inputs))))
    inner = keras.Model(inputs, layers.Conv2D(4, 3, activation="relu")(inputs))
    assert not changed(keras.Model(inputs, layers.MaxPooling2D(2)(inner(inputs))))


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
    replace(model)
    x = tf.random.normal((20, 50))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)
    assert not np.array_equal(y, model(x, training=True))
    np.testing.assert_array_equal(model(x), x)


OPTIMIZERS = {
    "adamw": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1}),
    "adamw_no_decay": (keras.optimizers.AdamW, fast_layers.AdamW,
                       {"weight_decay": 0.0, "beta_2": 0.95, "epsilon": 1e-3}),
    "adamw_clip": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1, "global_clipnorm": 0.5}),
    "amsgrad": (keras.optimizers.AdamW, fast_layers.AdamW, {"weight_decay": 0.1, "amsgrad": True}),
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


@pytest.mark.parametrize("name, jit", [
    ("accumulate", False), ("adamw_clip", True), *(
        pytest.param(name, jit, marks=pytest.mark.soak) for name in OPTIMIZERS for jit in (False, True)
        if (name, jit) not in {("accumulate", False), ("adamw_clip", True)})])
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


def test_what_all_weights_share_is_in_the_graph_once_a_step_and_anew_in_the_next():
    def weights_after(optimizer):
        weights = [keras.Variable(tf.ones(shape), dtype="float32", name="kernel") for shape in ((3, 2), (5,), (2, 2))]
        made = optimizer(0.1, weight_decay=0.1)
        made.build(weights)

        @tf.function
        def two_steps():
            for scale in (1.0, -3.0):
                made.apply([scale * tf.ones(w.shape) for w in weights], weights)

        two_steps()
        powers = [op for op in two_steps.get_concrete_function().graph.get_operations() if op.type == "Pow"]
        return [w.numpy() for w in weights], len(powers)

    expected, _ = weights_after(keras.optimizers.AdamW)
    found, powers = weights_after(fast_layers.AdamW)
    assert powers == 2 * 2  # a power of each beta, for each of two steps
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_blocks_of_a_network_share_the_graphs_of_their_parts(monkeypatch):
    """Of attention there are three: its values, these with what gradients need, and gradients. Numbers are Keras'."""
    def trained(forms):
        monkeypatch.setattr(fast_layers, "FORMS", forms)
        keras.utils.set_random_seed(0)
        inputs = keras.Input((7, 24))
        model = keras.Model(inputs, vit.encode(inputs, 5, 2, drop_path=0.5))
        model.compile("sgd", "mse")
        images, target = (np.random.default_rng(seed).normal(size=(8, 7, 24)).astype("float32") for seed in (0, 1))

        @tf.function(autograph=False)
        def step():
            with fast_layers.replacing(model), tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(images, training=True) - target) ** 2)
                gradients = tape.gradient(loss, model.trainable_weights)
            return loss, gradients

        graph = step.get_concrete_function().graph.as_graph_def()
        return step(), [function.signature.name for function in graph.library.function if "attend" in
                        function.signature.name]

    forms = fast_layers.FORMS
    (loss, gradients), plain = trained({})
    (ours, found), shared = trained(forms)
    assert not plain and len(shared) == 3
    np.testing.assert_allclose(ours, loss, rtol=1e-5)
    for a, b in zip(found, gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name, args", [("vit", {"size": "mu", "patch": 4, "drop": 0.1}), ("resnet", {"size": "mu"})])
def test_outside_a_traced_step_every_layer_is_keras_own(name, args, tmp_path):
    """While it trains, in evaluation, after an error, and in the saved file."""
    network = zoo.build(name, (8, 8, 3), 4, **args)
    config, classes = network.get_config(), [type(layer) for layer in network.layers]
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("float32")
    expected = network(x)
    with pytest.raises(ZeroDivisionError), fast_layers.replacing(network):
        assert [type(layer) for layer in network.layers] != classes
        raise ZeroDivisionError
    assert [type(layer) for layer in network.layers] == classes
    np.testing.assert_array_equal(network(x), expected)

    model = keras.Model(network.inputs, network.outputs)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    traced, step = [], model.train_step
    model.train_step = lambda batch: (traced.extend(type(layer) for layer in network.layers), step(batch))[1]
    loop.install(model)
    model.fit(x, np.eye(4, dtype="float32"), batch_size=4, verbose=0)
    assert set(traced) & set(fast_layers.FORMS.values())
    assert [type(layer) for layer in network.layers] == classes and network.get_config() == config
    network.save(tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as file:
        assert b"fast_layers" not in file.read("config.json")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(x), network(x))


def test_only_known_layers_have_a_fast_form():
    class Own(layers.BatchNormalization):
        pass

    inputs = keras.Input((4, 4, 3))
    x = Own(name="own")(inputs)
    x = layers.BatchNormalization(axis=1, name="rows")(x)
    x = layers.Dropout(0.5, noise_shape=(None, 1, 1, 3), name="maps")(x)
    x = layers.LayerNormalization(axis=(1, 2), name="planes")(x)
    x = layers.Dense(3, activation="relu", name="relu")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.BatchNormalization(name="flat")(x))
    replace(model)
    assert not any(type(layer) in fast_layers.FORMS.values() for layer in model.layers)
