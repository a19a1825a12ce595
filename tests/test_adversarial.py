"""The GAN step: who moves when, that gradients are what the losses say, replicas, averages, and what it refuses."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.devices import distribute_fixes
from kerasdl.errors import UserError
from kerasdl.objectives.gan.gan import GAN, clusters, decode, sample
from kerasdl.objectives.gan.losses import LOSSES
from kerasdl.zoo import gan as zoo_gan

SHAPE, CLASSES = (8, 8, 1), 3
KINDS = [{"loss": name} for name in LOSSES] + [
    {"loss": "nonsaturating", "r1": 1.0}, {"loss": "relativistic", "r1": 0.7, "r2": 0.3}]


def kind_id(kind):
    return "-".join(f"{value}" if key == "loss" else f"{key}" for key, value in kind.items())


def examples(count=32):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, *SHAPE)).astype("uint8"), random.integers(0, CLASSES, count)


def made(conditional=False, ema=0.9, rate=0.01, net="dcgan", clusters=0, **arguments):
    keras.utils.set_random_seed(0)
    pair = zoo_gan.build(SHAPE, CLASSES, net=net, size="mu", latent=4, conditional=conditional, clusters=clusters)
    model = GAN(*pair, ema=ema, **arguments)
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), keras.optimizers.Adam(rate, beta_1=0.5))
    return model


def batch(model, count=16):
    x, y = examples(count)
    return model.prepare((tf.constant(x), tf.constant(y)))


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def same(before, variables):
    return [np.array_equal(old, new) for old, new in zip(before, values(variables), strict=True)]


# Who moves

@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
@pytest.mark.parametrize("mine, step", [(0, "generator_step"), (1, "discriminator_step")])
def test_a_step_moves_one_network_and_its_optimizer_alone(mine, step, kind):
    model = made(conditional=True, **kind)
    networks = (model.generator, model.discriminator)
    trained = [values(network.trainable_variables) for network in networks]
    slots = [values(optimizer.variables) for optimizer in model.optimizers]
    getattr(model, step)(*batch(model))
    other = 1 - mine
    assert all(same(trained[other], networks[other].trainable_variables))
    assert all(same(slots[other], model.optimizers[other].variables))
    assert not all(same(trained[mine], networks[mine].trainable_variables))
    assert model.optimizers[mine].iterations == 1


def test_running_statistics_move_whenever_the_generator_runs():
    for step in ("generator_step", "discriminator_step"):
        model = made()
        before, average = values(model.generator.non_trainable_variables), values(model.average.variables)
        getattr(model, step)(*batch(model))
        assert before and not any(same(before, model.generator.non_trainable_variables)), step
        assert all(same(average, model.average.variables))


def test_both_networks_see_the_cluster_of_the_real_image():
    model = made(clusters=2, ema=0)
    dark, light = -np.ones((1, *SHAPE)), np.ones((1, *SHAPE))
    model.clusters.set_clusters(np.concatenate([dark, light]).reshape(2, -1), [0.5, 0.5])
    seen = {"generator": [], "discriminator": []}
    made_of, judged = model.generator.call, model.discriminator.call
    model.generator.call = lambda z, **kw: (seen["generator"].append(model.clusters(z).numpy()), made_of(z, **kw))[1]
    model.discriminator.call = lambda x, **kw: (seen["discriminator"].append(x[1].numpy()), judged(x, **kw))[1]
    kinds = np.array([0, 0, 1, 1] * 2)
    images = (np.where(kinds, 255, 0)[:, None, None, None] * np.ones(SHAPE)).astype("uint8")
    model.train_step((tf.constant(images), None))
    assert len(seen["generator"]) == 2 and len(seen["discriminator"]) == 4  # in each step; real and generated
    for labels in seen["generator"] + seen["discriminator"]:
        np.testing.assert_array_equal(labels, kinds)


def test_noise_is_fresh_in_every_step_and_a_function_of_seed_and_step():
    def latents(model):
        drawn = []
        draw = model._noise

        def spy(images, stream):
            drawn.append(draw(images, stream).numpy())
            return tf.constant(drawn[-1])
        model._noise = spy
        for _ in range(2):
            model.train_step((tf.constant(examples(16)[0]),))
        return drawn

    first, again, other = (latents(made(seed=seed)) for seed in (0, 0, 1))
    assert len(first) == 4
    assert len({noise.tobytes() for noise in first + other}) == 8
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


# Gradients

def toy():
    """A pair in float64 with smooth activations, so that differences are gradients to many digits."""
    with_double = {"dtype": "float64"}
    z, y = keras.Input((3,), dtype="float64"), keras.Input((), dtype="int32")
    x = keras.layers.Concatenate(**with_double)([z, keras.layers.Embedding(CLASSES, 2, name="class_vector",
                                                                           **with_double)(y)])
    x = keras.layers.Dense(5, activation="tanh", **with_double)(x)
    x = keras.layers.Dense(4, activation="tanh", **with_double)(x)
    generator = keras.Model([z, y], keras.layers.Reshape((2, 2, 1), **with_double)(x))
    image, y = keras.Input((2, 2, 1), dtype="float64"), keras.Input((), dtype="int32")
    x = keras.layers.Flatten(**with_double)(image)
    x = keras.layers.Concatenate(**with_double)([x, keras.layers.Embedding(CLASSES, 2, **with_double)(y)])
    x = keras.layers.Dense(6, activation="tanh", **with_double)(x)
    return generator, keras.Model([image, y], keras.layers.Dense(1, **with_double)(x))


class Spy(keras.optimizers.SGD):
    """Keeps the gradients and takes no step."""

    def apply(self, grads, trainable_variables=None):
        self.grads = [keras.ops.convert_to_numpy(tf.convert_to_tensor(grad)) for grad in grads]


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
@pytest.mark.parametrize("step", ["generator_step", "discriminator_step"])
def test_gradients_are_finite_differences(kind, step):
    keras.utils.set_random_seed(1)
    model = GAN(*toy(), ema=0, **kind)
    model.compile(Spy(), Spy())
    network, optimizer = ((model.generator, model.optimizer) if step == "generator_step" else
                          (model.discriminator, model.discriminator_optimizer))
    random = np.random.default_rng(0)
    for weight in (*model.generator.weights, *model.discriminator.weights):
        weight.assign(0.7 * random.normal(size=weight.shape))
    real, labels = tf.constant(random.uniform(-1, 1, (6, 2, 2, 1))), tf.constant([0, 1, 2, 0, 1, 2])

    def total():
        found = getattr(model, step)(real, labels)
        return float(found if step == "generator_step" else sum(found))

    total()
    for weight, gradient in zip(network.trainable_variables, optimizer.grads, strict=True):
        value = keras.ops.convert_to_numpy(weight)
        for place in {tuple(random.integers(0, weight.shape)) for _ in range(4)}:
            move = np.zeros_like(value)
            move[place] = 1e-6
            weight.assign(value + move)
            above = total()
            weight.assign(value - move)
            below = total()
            weight.assign(value)
            assert abs((above - below) / 2e-6 - gradient[place]) < 1e-6 * (1 + abs(gradient[place]))


def test_losses_by_hand():
    real, fake = tf.constant([[0.5], [2.0]]), tf.constant([[-1.0], [3.0]])

    def log1pexp(x):
        return np.log1p(np.exp(x))

    r, f = real.numpy(), fake.numpy()
    expected = {
        "nonsaturating": (log1pexp(-r) + log1pexp(f), log1pexp(-f)),
        "relativistic": (log1pexp(f - r), log1pexp(r - f)),
    }
    assert set(expected) == set(LOSSES)
    for name, (d_loss, g_loss) in expected.items():
        np.testing.assert_allclose(LOSSES[name].discriminator(real, fake), d_loss, rtol=1e-6)
        np.testing.assert_allclose(LOSSES[name].generator(real, fake), g_loss, rtol=1e-6)


def test_penalties_by_hand():
    """The gradient of a linear discriminator is its kernel, at every image."""
    z, image = keras.Input((4,)), keras.Input((2, 2, 1))
    generator = keras.Model(z, keras.layers.Reshape((2, 2, 1))(z))
    discriminator = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image)))
    discriminator.layers[-1].kernel.assign([[1.0], [2.0], [-2.0], [4.0]])  # its length is 5
    for arguments, expected in (({"r1": 2.0}, 25), ({"r2": 0.4}, 5), ({"r1": 2.0, "r2": 2.0}, 50)):
        model = GAN(generator, discriminator, ema=0, **arguments)
        model.compile(Spy(), Spy())
        _, penalty = model.discriminator_step(tf.zeros((3, 2, 2, 1)), None)
        assert abs(float(penalty) - expected) < 1e-3


def test_a_lazy_penalty_is_rare_and_heavy():
    """With networks that stand still its mean over the steps is that of a penalty in every step."""
    model, lazy = (made(loss="relativistic", r1=1.0, lazy=lazy, rate=0.0) for lazy in (1, 4))
    x, _ = examples(16)
    found = [each.fit(x, batch_size=16, epochs=8, verbose=0).history["penalty"] for each in (model, lazy)]
    np.testing.assert_allclose(np.reshape(found[1], (2, 4))[:, 1:], 0)
    np.testing.assert_allclose(np.mean(found[0]), np.mean(found[1]), rtol=1e-4)


@pytest.mark.soak
def test_a_penalty_can_follow_a_schedule():
    """With networks that stand still the penalty falls as its weight does."""
    weights = (1.0, keras.optimizers.schedules.ExponentialDecay(1.0, 4, 0.01))
    x, _ = examples(16)
    constant, falling = (made(loss="relativistic", r1=r1, rate=0.0).fit(x, batch_size=16, epochs=4, verbose=0)
                         .history["penalty"] for r1 in weights)
    np.testing.assert_allclose(np.divide(falling, constant), 0.01 ** (np.arange(4) / 4), rtol=1e-4)


def test_two_values_of_a_penalty_are_its_first_and_its_last():
    from kerasdl.objectives.adversarial import decaying

    weight = decaying("r1", (0.5, 0.02), 100)
    np.testing.assert_allclose([weight(step) for step in (0, 50, 100)], [0.5, 0.1, 0.02], rtol=1e-5)
    assert decaying("r2", 0.3, 100) == 0.3


# Average, precision, replicas

def test_the_average_follows_the_generator():
    model = made(ema=0.5)
    expected = values(model.average.variables)
    for step in range(1, 4):
        model.train_step((tf.constant(examples(16)[0]),))
        share = 1 - min(0.5, (1 + step) / (10 + step))
        expected = [old + share * (new - old) for old, new in zip(expected, values(model.generator.variables),
                                                                  strict=True)]
        for ours, theirs in zip(expected, values(model.average.variables), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    alone = made(ema=0)
    assert alone.average is alone.generator


def test_bfloat16_trains_float32_weights():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made(conditional=True, loss="relativistic", r1=1.0, r2=1.0)
    finally:
        keras.config.set_dtype_policy(before)
    history = model.fit(*examples(), batch_size=16, epochs=3, verbose=0).history
    assert all(np.isfinite(series).all() for series in history.values())
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
    assert model.generator.layers[2].compute_dtype == "bfloat16"


REPLICAS = {"nonsaturating": {"loss": "nonsaturating", "net": "mlp"},
            "relativistic": {"r1": 1.0, "r2": 1.0},
            "lazy": {"r1": 1.0, "r2": 1.0, "lazy": 3},
            "clusters": {"net": "mlp", "clusters": 2}, "xla": {"net": "mlp", "xla_noise": True}}
SAMPLE = ("lazy",)


def eight_steps(name, strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        arguments = {"ema": 0.9, "net": "dcgan", "clusters": 0, **REPLICAS[name]}
        networks = {key: arguments.pop(key) for key in ("net", "clusters")}
        pair = zoo_gan.build(SHAPE, CLASSES, size="mu", latent=4, conditional=not networks["clusters"], **networks)
        if networks["clusters"]:
            clusters(pair[0]).set_clusters(examples(2)[0].reshape(2, -1) / 127.5 - 1, [0.4, 0.6])
        for network in pair:
            distribute_fixes.synchronize_norms(network)
        model = GAN(*pair, **arguments)
        alone = strategy.num_replicas_in_sync == 1
        model.compile(*(keras.optimizers.SGD(0.05, momentum=0.5) for _ in range(2)),
                      jit_compile=alone and model.xla_noise)
    data = tf.data.Dataset.from_tensor_slices(examples(32)).batch(16, drop_remainder=True)
    history = model.fit(data, epochs=4, verbose=0).history
    parts = {"g": model.generator, "d": model.discriminator, "average": model.average}
    out = {f"{name}/{part}/{i}": value for part, network in parts.items()
           for i, value in enumerate(values(network.variables))}
    return out | {f"{name}/{key}": np.array(series) for key, series in history.items()}


@pytest.fixture(scope="module")
def on_replicas(request, tmp_path_factory):
    """The same eight steps on one device and on two replicas, in a process that has two logical CPUs."""
    file = tmp_path_factory.mktemp("replicas") / "weights.npz"
    names = REPLICAS if request.config.getoption("--soak") else SAMPLE
    done = subprocess.run([sys.executable, __file__, file, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(file)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.soak) for name in REPLICAS])
def test_two_replicas_are_one_device(on_replicas, name):
    keys = [key for key in on_replicas if key.startswith(f"1/{name}/")]
    assert len(keys) > 15
    for key in keys:
        one, two = on_replicas[key], on_replicas["2" + key[1:]]
        assert np.abs(one - two).max() < 1e-6 * max(1, np.abs(one).max()), key


# Samples

@pytest.mark.soak
def test_a_saved_generator_samples_the_same_images_in_a_new_process(tmp_path):
    model = made(conditional=True)
    model.fit(*examples(), batch_size=16, verbose=0)
    here = model.sample(5, labels=1, seed=3)
    model.average.save(tmp_path / "model.keras")
    code = f"""if True:
        import keras, numpy as np, kerasdl.zoo
        from kerasdl.objectives.gan import sample
        kerasdl.zoo.register()
        generator = keras.models.load_model({str(tmp_path / "model.keras")!r})
        np.save({str(tmp_path / "there.npy")!r}, sample(generator, 5, labels=1, seed=3))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(here, np.load(tmp_path / "there.npy"))
    assert here.shape == (5, *SHAPE) and here.dtype == np.uint8 and here.std() > 0


def test_an_image_does_not_depend_on_how_many_are_sampled():
    generator = made(conditional=True).generator
    many = sample(generator, 200, labels=np.zeros(200, int), seed=1)
    np.testing.assert_array_equal(many[:3], sample(generator, 3, labels=0, seed=1))
    assert not np.array_equal(many[:3], sample(generator, 3, labels=0, seed=2))


@pytest.mark.parametrize("net", zoo_gan.NETS)
def test_a_conditional_generator_makes_all_classes_in_turn(net):
    generator = zoo_gan.build(SHAPE, CLASSES, net=net, size="mu", latent=4, conditional=True)[0]
    turns = sample(generator, 5, seed=1)
    np.testing.assert_array_equal(turns, sample(generator, 5, labels=[0, 1, 2, 0, 1], seed=1))
    with pytest.raises(UserError, match="0..2"):
        sample(generator, 2, labels=3)


# What is refused

def test_what_does_not_fit_is_refused_in_one_line():
    x, y = examples()
    model, conditional = made(), made(conditional=True)
    cases = [
        (lambda: model.fit(x / 255), "0..1"), (lambda: model.fit(x / 127.5 - 1), "-1..1"),
        (lambda: model.fit(np.zeros((4, 9, 9, 1), "uint8")), r"\(9, 9, 1\)"),
        (lambda: conditional.fit(x), "labels"),
        (lambda: decode(model.generator, np.zeros((2, 5))), r"\(n, 4\)"),
        (lambda: conditional.sample(2, labels=3), "0..2"), (lambda: model.sample(2, labels=1), "no class"),
        (lambda: made(loss="relative"), "'relativistic'"),
        (lambda: GAN(model.generator, conditional.discriminator), "labels"),
        (lambda: GAN(model.generator, zoo_gan.mlp.discriminator((9, 9, 1), size="mu")), r"\(9, 9, 1\)"),
        (lambda: GAN(model.generator, keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])), "one logit"),
        (lambda: model.compile(model.optimizer, model.optimizer), "optimizer each"),
    ]
    for call, words in cases:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


if __name__ == "__main__":
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                               [tf.config.LogicalDeviceConfiguration()] * 2)
    file, *names = sys.argv[1:]
    found = {}
    one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for case in names:
        for count, devices in ((1, one), (2, two)):
            found |= {f"{count}/{key}": value for key, value in eight_steps(case, devices).items()}
    np.savez(file, **found)
