"""Generation: what is fed token by token has the logits of the whole pass, and samples are draws from them."""

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl.zoo import rnn, transformer
from kerasdl.zoo.generation import Decoder, sample, shares

WORDS, TOKENS = harness.WORDS, np.random.default_rng(0).integers(1, harness.WORDS, (2, 12)).astype("int32")


def gpt(longest=12, **args):
    return transformer.build_language((longest,), vocabulary=WORDS, size="mu", **args)


@pytest.mark.parametrize("build, args", [
    (gpt, {}), (gpt, {"positions": "rotary", "norm": "post"}),
    *((rnn.build_language, {"sequence_shape": (None,), "vocabulary": WORDS, "size": "mu", "cell": cell})
      for cell in ("lstm", "gru", "simple"))], ids=["learned", "rotary", "lstm", "gru", "simple"])
def test_a_token_at_a_time_gives_the_logits_of_the_whole_pass(build, args):
    harness.check_decoder(build(**args), TOKENS)


def test_mixed_precision_keeps_its_cache_in_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = gpt()
    finally:
        keras.config.set_dtype_policy(before)
    decoder = Decoder(harness.randomise(model))
    assert {variable.dtype for variable in decoder.caches["block1_attn"]} == {"bfloat16"}
    found, wanted = decoder.feed(TOKENS[:1]), harness.logits(model, TOKENS[:1])[:, -1]
    assert found.dtype == "float32" and np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_decoder_refuses_more_tokens_than_positions_and_models_that_see_later_tokens():
    decoder = Decoder(gpt(longest=6))
    decoder.feed(TOKENS[:1, :4])
    with pytest.raises(ValueError, match="up to 6 tokens.*3 after 4"):
        decoder.feed(TOKENS[:1, :3])
    inputs = keras.Input((None,), dtype="int32")
    ahead = keras.layers.Conv1D(WORDS, 3, padding="same")(keras.layers.Embedding(WORDS, 4)(inputs))
    for model in (gpt(causal=False), rnn.build((None,), 4, size="mu", vocabulary=WORDS), keras.Model(inputs, ahead)):
        for use in (Decoder, lambda model: sample(model, [1], 3)):
            with pytest.raises(ValueError, match="causal language model"):
                use(model)


class Before(keras.layers.Layer):
    """The mean of the steps so far."""

    def call(self, x):
        return keras.ops.cumsum(x, axis=1) / keras.ops.arange(1, keras.ops.shape(x)[1] + 1, dtype=x.dtype)[:, None]


def own(kind, steps):
    """A causal network of one's own: the embedded tokens, joined with what the steps so far say."""
    inputs = keras.Input((steps,), dtype="int32")
    x, dense = keras.layers.Embedding(WORDS, 8)(inputs), keras.layers.Dense(8)
    x = {"operation": lambda: x + keras.ops.cumsum(x, axis=1),
         "custom": lambda: Before()(x),
         "nested": lambda: keras.Sequential([Before(), keras.layers.Dense(8)])(x),
         "joined": lambda: keras.layers.Concatenate()([x, keras.layers.LSTM(8, return_sequences=True)(x)]),
         "twice": lambda: dense(dense(x)),
         "convolution": lambda: keras.layers.Conv1D(8, 3, padding="causal")(x)}[kind]()
    return keras.Model(inputs, keras.layers.Dense(WORDS)(x))


@pytest.mark.parametrize("kind", ["operation", "custom", "nested", "joined", "twice", "convolution"])
@pytest.mark.parametrize("steps", [None, 6])
def test_a_network_whose_layers_are_not_known_is_given_the_whole_text(kind, steps):
    """Up to as many tokens as it takes, or was trained with; then the last half, as with a cache."""
    model, text = harness.randomise(own(kind, steps), spread=0.5), [3, 1, 4]
    found = sample(model, text, 6, temperature=0, longest=6).tolist()
    for token, begin in zip(found, (0, 0, 0, 0, 4, 4), strict=True):
        seen = np.pad(text[begin:], (0, 6 - len(text[begin:])))  # nothing of what comes later is seen
        assert token == harness.logits(model, seen[None])[0, len(text[begin:]) - 1, 1:].argmax() + 1
        text.append(token)


def test_a_network_of_ones_own_of_known_layers_keeps_a_cache():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(WORDS, 8)(inputs))
    harness.check_decoder(keras.Model(inputs, keras.layers.Dense(WORDS)(x)), TOKENS)


def test_the_same_seed_gives_the_same_text_and_each_token_is_the_best_of_its_logits():
    model = harness.randomise(gpt(longest=8), spread=0.5)
    decoder = Decoder(model)
    texts = [sample(decoder, [3, 1], 20, seed=seed).tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    text = [3, 1]
    for token in sample(decoder, [3, 1], 6, temperature=0):  # while all of it has a position
        assert token == harness.logits(model, np.array([text]))[0, -1, 1:].argmax() + 1
        text.append(int(token))


def test_a_long_text_is_cut_to_the_last_half_of_the_positions():
    model, prompt = harness.randomise(gpt(longest=8), spread=0.5), [1 + i % (WORDS - 1) for i in range(20)]
    text = prompt + sample(model, prompt, 7, temperature=0).tolist()
    begins = (12, 17, 17, 17, 17, 17, 22)  # the last 8 of the prompt; then 4, to which those that follow are added
    for end, begin in zip(range(20, 27), begins, strict=True):
        assert text[end] == harness.logits(model, np.array([text[begin:end]]))[0, -1, 1:].argmax() + 1


def test_a_text_ends_with_eos_and_a_prompt_is_checked():
    model = rnn.build_language((None,), vocabulary=WORDS, size="mu")
    text = sample(model, [1], 200, seed=1, eos=5)
    assert text[-1] == 5 and (text[:-1] != 5).all() and (text > 0).all()
    for prompt in ([], [0], [WORDS]):
        with pytest.raises(ValueError, match="prompt"):
            sample(model, prompt, 3)


def test_shares_leave_out_padding_and_what_is_improbable():
    logits = np.log(np.array([9, 1, 4, 2, 3.0]))
    np.testing.assert_allclose(shares(logits), [0, 0.1, 0.4, 0.2, 0.3])
    np.testing.assert_allclose(shares(logits, temperature=0.5), np.array([0, 1, 16, 4, 9]) / 30)
    np.testing.assert_allclose(shares(logits, top_k=2), [0, 0, 4 / 7, 0, 3 / 7])
    np.testing.assert_allclose(shares(logits, top_p=0.71), [0, 0, 4 / 9, 2 / 9, 3 / 9])
    np.testing.assert_allclose(shares(logits, top_p=0.69), [0, 0, 4 / 7, 0, 3 / 7])
    np.testing.assert_array_equal(shares(logits, temperature=0), [0, 0, 1, 0, 0])
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}):
        with pytest.raises(ValueError, match="Expected temperature"):
            shares(logits, **wrong)
