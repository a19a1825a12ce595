"""Text from a language model, a token at a time: what was computed for the tokens so far is kept in a cache.

A token costs O(length) in a transformer, and the same at any length in a recurrent network. A network with layers that
are not known to work step by step is given the whole text for each token.
"""

import keras
import numpy as np
from keras import layers, ops, tree

from kerasdl.zoo.sequences import Present, TiedLogits, TokenEmbedding
from kerasdl.zoo.transformer import FirstType

ONE_STEP = (layers.InputLayer, layers.Embedding, layers.Dense, layers.Dropout, layers.Activation, layers.Identity,
            layers.ReLU, layers.Add, layers.LayerNormalization, Present, TiedLogits, TokenEmbedding, FirstType)
RECURRENT = (layers.SimpleRNN, layers.GRU, layers.LSTM)
LOOK = 16  # tokens of the text by which a network is seen to look ahead


class Decoder(keras.Model):
    """Feed tokens to a causal language model and return the logits of the next one.

    It walks the model's layers. Attention and positions take their `step`, recurrent layers carry their state, and
    every other layer looks at one step only. The weights are the model's own.

    Args:
        model: of `transformer.build_language` or `rnn.build_language`.
        batch: number of texts.

    Attributes:
        vocabulary: number of tokens.
        longest: how many tokens can be fed before a `reset`; None: any number.

    Raises:
        ValueError: a model that is not causal, that has other inputs or outputs, or layers that may look at several
            steps and keep none of them.
    """

    def __init__(self, model, batch=1):
        super().__init__(name="decoder")
        if not goes_by_steps(model):
            raise ValueError(f"Expected a causal language model, tokens to logits. Received: {model.name}")
        self.network, self.vocabulary = model, model.output_shape[-1]
        self.longest = positions_of(model)
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


class WholePass:
    """A Decoder of any causal language model, without a cache: it is given all tokens so far for each one.

    Args:
        model: tokens (B, T) to logits (B, T, vocabulary), functional.
        longest: as many tokens as it takes; None: those of its input, or any number.

    Raises:
        ValueError: a model of other inputs or outputs, or one whose answers change with later tokens.
    """

    def __init__(self, model, longest=None):
        if not answers_tokens(model):
            raise ValueError(f"Expected a causal language model, tokens to logits. Received: {model.name}")
        self.network, self.vocabulary = model, model.output_shape[-1]
        self.longest = model.input_shape[1] or min(filter(None, (longest, positions_of(model))), default=None)
        self.tokens = None
        texts = 1 + (np.arange(min(self.longest or LOOK, LOOK)) + [[0], [self.vocabulary // 2]]) % (self.vocabulary - 1)
        texts[:, 0] = 1
        one, other = self.logits(texts)[:, 0]
        if np.abs(one - other).max() > 1e-3 * np.abs(one).max():
            raise ValueError(f"Expected a causal language model. The answers of {model.name} to a token change with "
                             "those after it.")

    def logits(self, tokens):
        """Return the logits (B, n, vocabulary) after each of some tokens, padded to one length where that is known."""
        shape = len(tokens), self.longest or tokens.shape[1]
        padded = np.zeros(shape, "int32")
        padded[:, :tokens.shape[1]] = tokens
        return np.asarray(self.network.predict_on_batch(padded), "float32")[:, :tokens.shape[1]]

    def feed(self, tokens):
        """Return the logits (B, vocabulary) after the next tokens (B, n), float32."""
        tokens = np.asarray(tokens, "int32")
        self.tokens = tokens if self.tokens is None else np.concatenate([self.tokens, tokens], axis=1)
        return self.logits(self.tokens)[:, -1]

    def reset(self):
        """Forget the tokens so far."""
        self.tokens = None


def positions_of(model):
    """Return the number of positions that a model's layers have; None: any number."""
    sizes = [getattr(layer, "longest", 0) or getattr(layer, "rotary", 0) for layer in model.layers]
    return min(filter(None, sizes), default=None)


def answers_tokens(model):
    """Return whether a model maps one input (B, T) to one output (B, T, vocabulary)."""
    return len(model.inputs) == len(model.outputs) == 1 and (
        len(model.inputs[0].shape), len(model.outputs[0].shape)) == (2, 3)


def goes_by_steps(model):
    """Return whether a Decoder gives a model's own answers: each of its operations is known to need no other step, or
    keeps what it needs of those before.

    A layer that is called twice has no place of its own in the cache: not all tensors come from first calls then.
    """
    if not answers_tokens(model) or isinstance(model, keras.Sequential) or not all(map(is_step, model.operations)):
        return False
    made = {id(tensor) for layer in model.layers for tensor in tree.flatten(layer.output)}
    read = [tensor for layer in model.layers[1:] for tensor in tree.flatten(layer.input)] + model.outputs
    return all(id(tensor) in made for tensor in read)


def is_step(layer):
    """Return whether an operation of a network may be called for the next steps alone."""
    if isinstance(layer, layers.RNN):
        return (type(layer) in RECURRENT and not layer.go_backwards and not layer.return_state
                and len(tree.flatten(layer.input)) == 1)
    if hasattr(layer, "step"):
        return getattr(layer, "causal", True) is not False
    if isinstance(layer, layers.LayerNormalization):
        return type(layer) in ONE_STEP and layer.axis in (-1, [-1], 2, [2])
    return type(layer) in ONE_STEP


def decoder_of(model, longest=None):
    """Return what feeds tokens to a language model: a Decoder, or WholePass if its layers do not go step by step."""
    return Decoder(model) if goes_by_steps(model) else WholePass(model, longest)


def sample(model, prompt, count, *, temperature=1.0, top_k=None, top_p=None, seed=0, eos=None, never=(), longest=None):
    """Return tokens that a language model continues a text with; the same for the same seed.

    A transformer has a limited number of positions, and a longer prompt is cut to its last tokens. When all positions
    are taken, the last tokens, half as many as there are positions, are fed anew as the beginning of a text.

    Args:
        model: a causal language model; or its Decoder, which is compiled once for many texts.
        prompt: tokens of the text so far, one or more, none of them the 0 of padding.
        count: number of tokens to draw.
        temperature, top_k, top_p: as in `shares`.
        seed: of the draws.
        eos: the token that ends a text; None: there is none.
        never: tokens that are not drawn, besides the 0 of padding.
        longest: most tokens that a model is given at once that needs the whole text for each token.

    Returns:
        int32 (count,), or fewer with `eos` the last of them.

    Raises:
        ValueError: a model that is not causal, an empty prompt, a token that is not in the vocabulary, or settings out
            of range.
    """
    decoder = model if isinstance(model, (Decoder, WholePass)) else decoder_of(model, longest)
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
