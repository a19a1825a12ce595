"""Text from a language model, a token at a time: what was computed for the tokens so far is kept in a cache.

A token costs O(length) in a transformer, and the same at any length in a recurrent network.
"""

import keras
import numpy as np
from keras import layers, ops, tree

ACROSS = (layers.Conv1D, layers.DepthwiseConv1D, layers.SeparableConv1D, layers.AveragePooling1D, layers.MaxPooling1D,
          layers.Bidirectional, layers.Attention, layers.MultiHeadAttention, layers.GroupQueryAttention)


class Decoder(keras.Model):
    """Feed tokens to a causal language model and return the logits of the next one.

    It walks the model's layers. Attention and positions take their `step`, recurrent layers carry their state, and
    every other layer of a language model looks at one step only. The weights are the model's own.

    Args:
        model: of `transformer.build_language` or `rnn.build_language`.
        batch: number of texts.

    Attributes:
        vocabulary: number of tokens.
        longest: how many tokens can be fed before a `reset`; None: any number.

    Raises:
        ValueError: a model that is not causal, that has other inputs or outputs, or layers that look at several steps
            and keep none of them (ACROSS).
    """

    def __init__(self, model, batch=1):
        super().__init__(name="decoder")
        if len(model.output_shape) != 3 or any(
                getattr(layer, "causal", True) is False or isinstance(layer, ACROSS)
                or isinstance(layer, layers.RNN) and layer.go_backwards for layer in model.layers):
            raise ValueError(f"Expected a causal language model, tokens to logits. Received: {model.name}")
        sizes = [getattr(layer, "longest", 0) or getattr(layer, "rotary", 0) for layer in model.layers]
        self.network, self.vocabulary = model, model.output_shape[-1]
        self.longest = min(filter(None, sizes), default=None)
        self.position = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="position")
        self.caches = {layer.name: [self.add_weight(shape=shape, dtype=layer.compute_dtype, initializer="zeros",
                                                    trainable=False, name=layer.name) for shape in shapes]
                       for layer in model.layers if (shapes := self.shapes(layer, batch)) is not None}
        # XLA compiles anew for each number of tokens, which takes longer on TensorFlow than it saves.
        self.jit_compile = keras.backend.backend() == "jax"
        self.built = True

    def shapes(self, layer, batch):
        """Return the shapes of a layer's cache; None for a layer that looks at one step only."""
        if isinstance(layer, layers.RNN):
            return [(batch, size) for size in layer.state_size]
        return layer.cache_shapes(batch, self.longest) if hasattr(layer, "step") else None

    def call(self, tokens):
        values = {id(self.network.input): tokens}
        for layer in self.network.layers[1:]:
            inputs = [values[id(tensor)] for tensor in tree.flatten(layer.input)]
            if layer.name in self.caches:
                found = self.advance(layer, inputs)
            else:
                found = layer(inputs) if isinstance(layer, layers.Add) else layer(*inputs)
            values |= zip(map(id, tree.flatten(layer.output)), tree.flatten(found), strict=True)
        self.position.assign(self.position + ops.shape(tokens)[1])
        return values[id(self.network.output)][:, -1]

    def advance(self, layer, inputs):
        """Return what a layer makes of the next steps, and keep its cache."""
        cache = self.caches[layer.name]
        held = [ops.convert_to_tensor(variable) for variable in cache]
        if isinstance(layer, layers.RNN):
            layer.return_state = True
            try:
                found, *new = layer(inputs[0], initial_state=held)
            finally:
                layer.return_state = False
        else:
            found, new = layer.step(*inputs, cache=held, position=ops.convert_to_tensor(self.position))
        for variable, value in zip(cache, new, strict=True):
            variable.assign(value)
        return found

    def feed(self, tokens):
        """Return the logits (B, vocabulary) after the next tokens (B, n), float32.

        Raises:
            ValueError: more tokens than positions are left.
        """
        tokens, there = np.asarray(tokens, "int32"), int(ops.convert_to_numpy(self.position))
        if self.longest is not None and there + tokens.shape[1] > self.longest:
            raise ValueError(f"Expected up to {self.longest} tokens, as many as the model has positions. Received: "
                             f"{tokens.shape[1]} after {there}. Call reset(), and feed the last of them.")
        return self.predict_on_batch(tokens)

    def reset(self):
        """Forget the tokens so far."""
        for variable in (self.position, *tree.flatten(self.caches)):
            variable.assign(ops.zeros(variable.shape, variable.dtype))


def sample(model, prompt, count, *, temperature=1.0, top_k=None, top_p=None, seed=0, eos=None, never=()):
    """Return tokens that a language model continues a text with; the same for the same seed.

    A transformer has a limited number of positions, and a longer prompt is cut to its last tokens. When all positions
    are taken, the last tokens, half as many as there are positions, are fed anew as the beginning of a text.

    Args:
        model: of `transformer.build_language` or `rnn.build_language`; or its Decoder, which is compiled once for many
            texts.
        prompt: tokens of the text so far, one or more, none of them the 0 of padding.
        count: number of tokens to draw.
        temperature, top_k, top_p: as in `shares`.
        seed: of the draws.
        eos: the token that ends a text; None: there is none.
        never: tokens that are not drawn, besides the 0 of padding.

    Returns:
        int32 (count,), or fewer with `eos` the last of them.

    Raises:
        ValueError: an empty prompt, a token that is not in the vocabulary, or settings out of range.
    """
    decoder = model if isinstance(model, Decoder) else Decoder(model)
    text, rng, vocabulary = [int(token) for token in prompt], np.random.default_rng(seed), decoder.vocabulary
    if not text or min(text) < 1 or max(text) >= vocabulary:
        raise ValueError(f"Expected a prompt of one token or more, each 1 to {vocabulary - 1}. Received: {text[:10]}")
    decoder.reset()
    start, ahead = len(text), text[-(decoder.longest or len(text)):]
    room = (decoder.longest or 0) - len(ahead)
    for _ in range(count):
        logits = np.array(decoder.feed([ahead])[0])
        logits[list(never)] = -np.inf
        chance = shares(logits, temperature, top_k, top_p)
        text.append(int(rng.choice(vocabulary, p=chance)))
        if text[-1] == eos:
            break
        ahead = text[-1:]
        if decoder.longest is not None and room == 0:
            decoder.reset()
            ahead = text[-max(1, decoder.longest // 2):]
            room = decoder.longest - len(ahead)
        else:
            room -= 1
    return np.array(text[start:], "int32")


def shares(logits, temperature=1.0, top_k=None, top_p=None):
    """Return the probability of each token, float64; 0 for padding and for what the settings leave out.

    Args:
        logits: (vocabulary,).
        temperature: the logits are divided by it; 0: the most probable token has probability 1.
        top_k: leave out all but the k most probable; None: none.
        top_p: leave out all but the most probable that together reach this probability (Holtzman et al. 2020,
            arXiv:1904.09751); None: none.

    Raises:
        ValueError: a setting out of range.
    """
    if temperature < 0 or top_k is not None and top_k < 1 or top_p is not None and not 0 < top_p <= 1:
        raise ValueError("Expected temperature >= 0, top_k >= 1 and 0 < top_p <= 1. Received: "
                         f"temperature={temperature}, top_k={top_k}, top_p={top_p}")
    logits = np.asarray(logits, "float64").copy()
    logits[0] = -np.inf
    if temperature == 0:
        temperature, top_k = 1.0, 1
    order = np.argsort(-logits, kind="stable")
    chance = np.exp((logits - logits[order[0]]) / temperature)
    chance /= chance.sum()
    kept = len(order) if top_k is None else top_k
    if top_p is not None:
        kept = min(kept, int(np.searchsorted(np.cumsum(chance[order]), top_p)) + 1)
    chance[order[kept:]] = 0
    return chance / chance.sum()
