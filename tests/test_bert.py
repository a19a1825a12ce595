"""BERT's weights in the zoo's transformer: Transformers' steps, and those of a NumPy pass written from the papers."""

import sys
from math import erf
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.zoo import transformer, weights
from kerasdl.zoo.weights import public

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.golden import drawn, texts  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "bert_hf.npz"
VOCABULARY, TOKENS = 200, texts().astype("int32")
HAPPY = ("That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day")


@pytest.fixture(scope="module")
def golden():
    """The tensors of a tiny BERT, each drawn from its name, and Transformers' steps of it, float64."""
    with np.load(GOLDEN) as held:
        return tensors(), held["steps"]


def tensors():
    """The tensors of that BERT, of VOCABULARY tokens, in Transformers' names."""
    with np.load(GOLDEN) as held:
        shapes = [line.partition(":")[::2] for line in held["names"].tolist()]
    return {name: drawn(name, tuple(map(int, shape.split(",")))) for name, shape in shapes}


def body(source, **args):
    return transformer.body((None,), **{"size": "mu", "norm": "post", "types": 2, "vocabulary": VOCABULARY,
                                        "longest": 24, "weights": source} | args)


@pytest.fixture(scope="module")
def ours(golden, tmp_path_factory):
    """The file of the tensors, in Transformers' names."""
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("bert") / "model.safetensors"
    save_file(golden[0], path)
    return path


def steps(network, tokens=TOKENS):
    return harness.logits(keras.Model(network.input, network.output["steps"]), tokens)


def normalised(x, tensors, name):
    """LayerNorm: Ba et al. 2016, arXiv:1607.06450, with BERT's epsilon."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def bert(tensors, tokens, heads=2, depth=2):
    """Return BERT's last steps (B, T, D), from Devlin et al. 2019 and Vaswani et al. 2017, in float64."""
    tensors = {name: array.astype("float64") for name, array in tensors.items()}

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    table = {name: tensors[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
    x = table["word"][tokens] + table["position"][:tokens.shape[1]] + table["token_type"][0]
    x = normalised(x, tensors, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{number}" for number in range(depth)):
        query, key, value = (linear(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        read, width = np.zeros_like(x), x.shape[-1] // heads
        for part in (slice(head * width, (head + 1) * width) for head in range(heads)):
            scores = query[..., part] @ key[..., part].transpose(0, 2, 1) / np.sqrt(width)
            shares = np.exp(scores - scores.max(-1, keepdims=True)) * (tokens != 0)[:, None]
            read[..., part] = shares / shares.sum(-1, keepdims=True) @ value[..., part]
        x = x + linear(read, f"{layer}.attention.output.dense")
        x = normalised(x, tensors, f"{layer}.attention.output.LayerNorm")
        hidden = linear(x, f"{layer}.intermediate.dense")
        hidden *= 0.5 * (1 + np.vectorize(erf)(hidden / np.sqrt(2)))
        x = normalised(x + linear(hidden, f"{layer}.output.dense"), tensors, f"{layer}.output.LayerNorm")
    return x


def difference(network, wanted):
    """Return the largest relative difference of the steps that are there."""
    there = TOKENS != 0
    return np.abs(steps(network) - wanted)[there].max() / np.abs(wanted[there]).max()


def test_steps_are_those_of_transformers_and_of_the_papers(golden, ours):
    tensors, wanted = golden
    np.testing.assert_allclose(bert(tensors, TOKENS)[TOKENS != 0], wanted[TOKENS != 0], atol=1e-10)
    assert difference(body(ours), wanted) < 1e-5


def named(tensors, one, other):
    return {name.replace(one, "\0").replace(other, one).replace("\0", other): array for name, array in tensors.items()}


def without_types(tensors):
    return {name: array * ("token_type" not in name) for name, array in tensors.items()}


def tanh_gelu(network):
    for layer in network.layers:
        if layer.name.endswith("_up"):
            layer.activation = lambda x: keras.activations.gelu(x, approximate=True)


def large_epsilon(network):
    for layer in network.layers:
        if hasattr(layer, "epsilon"):
            layer.epsilon = 1e-2


@pytest.mark.parametrize("tensors, change", [
    (lambda tensors: named(tensors, ".query.", ".key."), None), (without_types, None), (None, tanh_gelu),
    (None, large_epsilon), (lambda tensors: named(tensors, "attention.output.LayerNorm", "output.LayerNorm"), None)],
    ids=["keys for queries", "no types", "tanh", "epsilon", "order of norms"])
def test_mistakes_do_not_pass(golden, tensors, change):
    held, wanted = golden
    network = body(None)
    weights.load(network, tensors(held) if tensors else held, "transformer")
    if change:
        change(network)
    assert difference(network, wanted) > 5e-5


def test_a_network_that_normalises_before_does_not_take_the_weights(golden):
    with pytest.raises(ValueError, match="norm/gamma"):
        weights.load(body(None, norm="pre"), golden[0], "transformer")


def test_every_tensor_is_used_and_what_the_network_has_not_is_said(golden):
    """With the names of a whole model too, whose heads are left out, and in the first names of LayerNorm."""
    held, network = golden[0], body(None)
    assert weights.load(network, held, "transformer").left == ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    names = {f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"):
             array for name, array in held.items() if "pooler" not in name}
    names |= {"cls.predictions.bias": np.zeros(VOCABULARY, "float32"), "bert.embeddings.position_ids": np.arange(24)}
    again = body(None)
    done = weights.load(again, names, "transformer")
    assert done.left == ("cls.predictions.bias",) and "cls.predictions.bias" in done.sentence()
    np.testing.assert_array_equal(steps(again), steps(network))
    for extra, words in (({"encoder.layer.2.output.dense.bias": np.zeros(32)}, "layer.2"), ({}, "word_embeddings")):
        wrong = {name: array for name, array in held.items() if extra or "word_embeddings" not in name} | extra
        with pytest.raises(ValueError, match=words):
            weights.load(again, wrong, "transformer")


def test_fewer_positions_are_the_first_ones_and_more_are_refused(ours):
    np.testing.assert_allclose(steps(body(ours, longest=16)), steps(body(ours)), atol=1e-6)
    with pytest.raises(ValueError, match=r"position_embeddings.*\(24, 32\).*\(25, 32\)"):
        body(ours, longest=25)


def test_a_head_is_new_and_a_file_is_imported_by_the_command(command, ours, tmp_path):
    done = command("weights", "import", str(ours), "--out", str(tmp_path / "bert.keras"), "--model", "transformer",
                   "--classes", "3", *(word for key, value in {"size": "mu", "norm": "post", "types": 2, "longest": 24,
                                       "vocabulary": VOCABULARY}.items() for word in ("--arg", f"{key}={value}")))
    assert done.code == 0, done
    network = keras.saving.load_model(tmp_path / "bert.keras")
    assert network.output_shape == (None, 3)
    np.testing.assert_allclose(harness.logits(zoo.features(network), TOKENS),
                               harness.logits(keras.Model((own := body(ours)).input, own.output["features"]), TOKENS),
                               atol=1e-6)


@pytest.mark.soak
def test_minilm_finds_the_sentences_of_its_page_as_alike_as_published(command, tmp_path, monkeypatch):
    tokenizers = pytest.importorskip("tokenizers")
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    assert command("weights", "get", "minilm").code == 0
    known = public.KNOWN["minilm"]
    network = transformer.body((None,), **known.args, weights="minilm")
    assert network.count_params() == 22_713_216 - 384 * 385  # of the file, without its pooler
    tokenizer = tokenizers.Tokenizer.from_file(str(public.folder() / "minilm" / "tokenizer.json"))
    tokenizer.enable_padding()
    tokens = np.array([encoded.ids for encoded in tokenizer.encode_batch(list(HAPPY))])
    assert (tokens == 0).any()
    features = harness.logits(keras.Model(network.input, network.output["features"]), tokens)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(features[1:] @ features[0], (0.69458, 0.94291, 0.25688), atol=1e-5)
