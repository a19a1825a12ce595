"""Networks of rows: their scale, and the linear model that has a closed form."""

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl.zoo import linear, mlp


@pytest.mark.parametrize("build", [linear.build, lambda *a: mlp.build(*a, size="mu")], ids=["linear", "mlp"])
def test_rows_are_scaled_by_what_adapt_saw(build, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal([3, -200, 0], [1, 50, 0.01], (64, 3)).astype("float32")
    model = build(3, 2)
    scale = model.get_layer("scale")
    np.testing.assert_allclose(np.asarray(scale(x)), x)
    scale.adapt(x)
    np.testing.assert_allclose(np.asarray(scale(x)), (x - x.mean(0)) / x.std(0), atol=1e-3)

    model.save(tmp_path / "rows.keras")
    np.testing.assert_array_equal(
        harness.logits(keras.saving.load_model(tmp_path / "rows.keras"), x), harness.logits(model, x)
    )


def test_regression_reaches_the_closed_form():
    rng = np.random.default_rng(0)
    x = rng.normal([5, -2, 100], [2, 1, 30], (256, 3)).astype("float32")
    y = (x @ [[1.0, 0.2], [-3.0, 0.0], [0.05, 0.1]] + [4.0, -1.0] + rng.normal(0, 0.3, (256, 2))).astype(
        "float32"
    )

    model = linear.build(3, 2)
    model.get_layer("scale").adapt(x)
    model.compile(keras.optimizers.SGD(0.2), "mse", jit_compile=False)
    model.fit(np.tile(x, (100, 1)), np.tile(y, (100, 1)), batch_size=256, shuffle=False, verbose=0)

    kernel, bias = linear.least_squares((x - x.mean(0)) / x.std(0), y)
    np.testing.assert_allclose(np.asarray(model.get_layer("logits").kernel), kernel, atol=1e-3)
    np.testing.assert_allclose(np.asarray(model.get_layer("logits").bias), bias, atol=1e-3)
    np.testing.assert_allclose(
        harness.logits(model, x), ((x - x.mean(0)) / x.std(0)) @ kernel + bias, atol=1e-3
    )


def test_least_squares_leaves_nothing_to_gain():
    """At the optimum the residual is orthogonal to every column and to the constant."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=50)
    kernel, bias = linear.least_squares(x, y)
    assert kernel.shape == (4, 1) and bias.shape == (1,)
    residual = y - (x @ kernel + bias)[:, 0]
    np.testing.assert_allclose(np.column_stack([x, np.ones(50)]).T @ residual, 0, atol=1e-10)
