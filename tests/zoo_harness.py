"""What every model of the zoo must do, whatever the backend. CHECKS: a name -> a function of a model's name.

test_zoo.py runs them on TensorFlow, in its own process. Run as a script, with KERAS_BACKEND=jax, a folder of models
that test_zoo.py saved, and the checks to leave out ("vit-memorise"), this file runs the others on JAX and writes what
happened to report.json.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np

SHAPE = (8, 8, 1)
CLASSES = 10
ARGS = {
    "linear": {},
    "mlp": {"size": "mu"},
    "residual_mlp": {"size": "mu"},
    "alexnet": {"size": "mu"},
    "vgg": {"size": "mu"},
    "cnn": {"size": "mu"},
    "resnet": {"size": "mu"},
    "cell": {"size": "mu"},
    "inception": {"size": "mu"},
    "mobilenet": {"size": "mu"},
    "convnext": {"size": "mu", "patch": 2},
    "vit": {"size": "mu", "patch": 4},
    "cct": {"size": "mu"},
    "stages": {"size": "mu", "block2": "attention"},
}
REGULARISED = {"mlp": {"drop": 0.5}, "residual_mlp": {"drop": 0.5}, "alexnet": {"drop": 0.5},
               "convnext": {"drop_path": 0.5},
               "vit": {"drop": 0.1, "drop_path": 0.5}, "cct": {"drop": 0.1, "drop_path": 0.5}}

WORDS = 20
SEQUENCE_ARGS = {
    "rnn": {"size": "mu", "cell": "gru"},
    "conv1d": {"size": "mu"},
    "transformer": {"size": "mu", "positions": "rotary", "causal": True},
}


def make(name, **args):
    from kerasdl import zoo

    return zoo.build(name, SHAPE, CLASSES, **ARGS[name], **args)


def pictures(n=8, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype("uint8")


def make_of_tokens(name):
    from kerasdl import zoo

    return zoo.build(name, (12,), CLASSES, vocabulary=WORDS, **SEQUENCE_ARGS[name])


def padded_tokens():
    """Texts of 12, 7, 1 and 9 tokens, padded with 0: (4, 12)."""
    x = np.random.default_rng(1).integers(1, WORDS, (4, 12)).astype("int32")
    return x * (np.arange(12) < np.array([[12], [7], [1], [9]]))


def randomise(model, seed=0, spread=0.1):
    """Moves every weight and statistic away from where it starts, so that none can be lost unnoticed."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        noise = spread * rng.standard_normal(weight.shape)
        weight.assign(np.abs(1 + noise) if weight.path.endswith("variance") else np.asarray(weight) + noise)
    return model


def in_a_row():
    """A network as users write it: without names, and Sequential."""
    import keras

    return randomise(keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(), keras.layers.ReLU(),
        keras.layers.Flatten(), keras.layers.Dense(3)]))


def logits(model, x):
    """What the model says at inference; on JAX compiled as a whole, since op by op takes far longer."""
    import keras

    if keras.backend.backend() == "tensorflow":
        return model(x, training=False).numpy()
    import jax

    call = jax.jit(lambda *state: model.stateless_call(*state, x, training=False)[0])
    return np.asarray(
        call(*([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)))
    )


def gradients(model, x, y, training=True):
    """{path: gradient} of the cross entropy, for every trainable weight."""
    import keras

    def loss(out):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, out, from_logits=True))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(model(x, training=training))
        found = tape.gradient(value, [w.value for w in model.trainable_weights])
    else:
        import jax

        def value_of(trainable):
            out, _ = model.stateless_call(
                trainable, [v.value for v in model.non_trainable_variables], x, training=training
            )
            return loss(out)

        found = jax.jit(jax.grad(value_of))([v.value for v in model.trainable_variables])
    paths = [w.path for w in model.trainable_weights]
    return {path: None if g is None else np.asarray(g) for path, g in zip(paths, found, strict=True)}


def check_shape(name):
    """Pixels as bytes or floats give the same float32 logits; "features" is what the head reads."""
    from kerasdl import zoo

    model, x = make(name), pictures()
    out = logits(model, x)
    assert out.shape == (8, CLASSES) and out.dtype == "float32"
    np.testing.assert_array_equal(out, logits(model, x.astype("float32")))
    assert model.layers[1].name == "scale"

    cut = zoo.features(model)
    assert len(cut.output.shape) == 2
    head = model.get_layer("logits")
    np.testing.assert_allclose(
        logits(cut, x) @ np.asarray(head.kernel) + np.asarray(head.bias), out, atol=1e-5
    )


def check_body(name, folder="."):
    """The body starts with the weights of `build` and has its features; a saved one gives the same outputs."""
    import keras

    from kerasdl import zoo

    keras.utils.set_random_seed(2)
    model = make(name)
    keras.utils.set_random_seed(2)
    body = zoo.body(name, SHAPE, **ARGS[name])
    assert [w.path for w in body.weights] == [w.path for w in model.weights if not w.path.startswith("logits/")]
    randomise(model), randomise(body)
    path = Path(folder, f"body_{name}.keras")
    body.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.output.keys() == body.output.keys()
    for key in body.output:
        ours, again = (logits(keras.Model(m.input, m.output[key]), pictures()) for m in (body, loaded))
        np.testing.assert_array_equal(ours, again)
        assert ours.ndim == {"features": 2, "maps": 4}[key]
        if key == "features":
            np.testing.assert_allclose(ours, logits(zoo.features(model), pictures()), atol=1e-6)


def check_gradient(name):
    """Every weight learns, once the branches that start near zero are open.

    Not in training mode, where a norm takes out of a batch what the layers before it add to all of it.
    """
    import keras

    keras.utils.set_random_seed(1)
    found = gradients(randomise(make(name)), pictures(), np.arange(8) % CLASSES, training=False)
    for path, gradient in found.items():
        assert gradient is not None and np.isfinite(gradient).all(), path
        # Softmax does not see what is added to all keys alike: no key bias has a gradient, in any ViT.
        assert np.abs(gradient).max() > 1e-8 or path.endswith("attn/key/bias"), path
    assert found


def check_save(name, folder="."):
    """A .keras file gives back the same logits, bit for bit, and the same layer names."""
    import keras

    model = randomise(make(name, **REGULARISED.get(name, {})))
    path = Path(folder, f"saved_{name}.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(logits(loaded, pictures()), logits(model, pictures()))
    for now, was in zip(loaded.layers, model.layers, strict=True):
        assert getattr(now, "activation", None) is getattr(was, "activation", None)  # our GELU is not Keras'


def check_precision(name, folder="."):
    """Under mixed precision the logits are float32, a file remembers the precision, the policy stays."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(name)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    assert model.get_layer("features").compute_dtype == "bfloat16"
    assert logits(model, pictures()).dtype == "float32"

    path = Path(folder, f"mixed_{name}.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    now, was = (
        [layer.compute_dtype for layer in m.layers[1:]] for m in (loaded, model)
    )  # an input computes nothing
    assert now == was


def check_memorise(name):
    """Two epochs on eight examples reach 100 %."""
    import keras

    keras.utils.set_random_seed(1)
    x, y = pictures(), np.arange(8)
    model = make(name)
    # TensorFlow would compile with XLA, which takes longer than the training.
    jit = keras.backend.backend() == "jax"
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    model.fit(np.tile(x, (40, 1, 1, 1)), np.tile(y, 40), batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert (logits(model, x).argmax(-1) == y).all()


CHECKS = {
    "shape": check_shape,
    "body": check_body,
    "gradient": check_gradient,
    "save": check_save,
    "precision": check_precision,
    "memorise": check_memorise,
}


def attempt(check, *args):
    """None, or what went wrong."""
    try:
        check(*args)
    except Exception:
        return traceback.format_exc()


def check_loads_elsewhere(name):
    """A file written on another backend by another process gives the same logits here."""
    import keras

    model = keras.saving.load_model(f"{name}.keras")
    theirs = np.load(f"{name}.npy")
    np.testing.assert_allclose(logits(model, pictures()), theirs, rtol=1e-4, atol=1e-4)


def outline(build, *args, **kwargs):
    """A model with shapes and no numbers, so that counting 304 million weights takes no memory."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        model = build(*args, **kwargs)
    keras.utils.clear_session()  # or Keras would still give them numbers, at the next chance
    return model


def quick_jax(folder):
    """Environment in which JAX optimizes little, and compiles what is equal once: a saved model as its original."""
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_COMPILATION_CACHE_DIR": os.fspath(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def check_tokens_load_elsewhere(name):
    """As check_loads_elsewhere, and every weight of a model of tokens learns here."""
    import keras

    model = keras.saving.load_model(f"{name}.keras")
    np.testing.assert_allclose(logits(model, padded_tokens()), np.load(f"{name}.npy"), rtol=1e-4, atol=1e-4)
    for path, gradient in gradients(model, padded_tokens(), np.arange(4)).items():
        assert gradient is not None and np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-8 or path.endswith("attn/key/bias"), path


def check_decoder(model, tokens):
    """Tokens fed one by one, after some at once, have the logits of the whole pass."""
    from kerasdl.zoo.generation import Decoder

    wanted, decoder = logits(randomise(model), tokens), Decoder(model, len(tokens))
    for _ in range(2):
        found = [decoder.feed(tokens[:, :5]), *(decoder.feed(tokens[:, t:t + 1]) for t in range(5, tokens.shape[1]))]
        np.testing.assert_allclose(np.stack(found, 1), wanted[:, 4:], atol=1e-5 * np.abs(wanted).max())
        decoder.reset()


def check_rotary_decoder(name):
    from kerasdl.zoo import transformer

    model = transformer.build_language((12,), vocabulary=WORDS, size="mu", positions="rotary")
    check_decoder(model, np.random.default_rng(0).integers(1, WORDS, (2, 12)).astype("int32"))


def main(folder, *left_out):
    import kerasdl

    os.chdir(folder)
    light = "keras" not in sys.modules
    names = kerasdl.zoo.MODELS
    light = light and "keras" not in sys.modules
    kerasdl.zoo.register()
    tensorflow = "tensorflow" in sys.modules
    report = {name: {"loads_elsewhere": attempt(check_loads_elsewhere, name)} for name in names}
    for name in names:
        report[name] |= {key: attempt(check, name) for key, check in CHECKS.items() if f"{name}-{key}" not in left_out}

    import keras

    report |= {name: {"tokens": attempt(check_tokens_load_elsewhere, name)} for name in kerasdl.zoo.SEQUENCES}
    report["transformer"]["decoder"] = attempt(check_rotary_decoder, "transformer")
    report |= {"light": light, "backend": keras.backend.backend(), "tensorflow": tensorflow}
    Path("report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
