"""Tagging: a class for each word of a sentence, such as the names in it (Ramshaw & Marcus 1995).

The score is the F1 of whole entities by seqeval, strict: type, first and last word are right, and a tag I- that
continues nothing makes no entity. Only the first token of a word is scored. Words that a model does not see count as O,
so that their entities are missed.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasdl import user_code, zoo
from kerasdl.data.split import Split
from kerasdl.data.tokens import FILE, Tokens
from kerasdl.errors import UserError
from kerasdl.objectives.answers import of_tokens
from kerasdl.objectives.base import Objective, build_args, build_model
from kerasdl.objectives.sections import Findings, Section, note, table
from kerasdl.objectives.token_loss import TokenAccuracy, mean_loss
from kerasdl.objectives.token_model import checked
from kerasdl.zoo.sequences import tagger

OUTSIDE = 0  # the class of words in no entity
Word = tuple[int, ...]  # its tokens


class Tag(Objective):
    """Learn a tag for each word. The kept model maps tokens (B, T) to float32 logits (B, T, tags)."""

    inputs = ("tokens",)
    target = "tags"
    scores = {"f1": "max", "accuracy": "max", "loss": "min"}
    overall_scores = {"f1": "max"}
    monitor = "f1"
    predicts = True

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        entity_scores([["B-x"]], [["B-x"]])  # whether seqeval is there

    def network(self, split: Split) -> keras.Model:
        recipe, classes = self.recipe, len(split.classes)
        if user_code.is_reference(recipe.model):
            return checked(build_model(recipe, split, run=self.run), classes, recipe)
        if recipe.model not in zoo.SEQUENCES:
            raise UserError(f"objective=tag needs a model that answers for each token: {', '.join(zoo.SEQUENCES)}. "
                            f"Received: {recipe.model}.")
        args = build_args(zoo.module(recipe.model).build, recipe, split)
        zoo.check_args(zoo.module(recipe.model).build, args, recipe.model)
        body = zoo.body(recipe.model, split.shape, **args)
        return tagger(body, classes, args.get("drop", 0.0), name=recipe.model)

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return mean_loss(seen(y, y_pred), y_pred)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [WordAccuracy()]

    def overall(self, score: str, y: np.ndarray, y_pred: np.ndarray) -> float:
        guess = y_pred if y_pred.ndim == 2 else y_pred.argmax(-1)  # targets, to see whether F1 exists
        return f1(*named(y, guess, self.classes))

    def targets(self, split: Split) -> np.ndarray | None:
        self.classes = split.classes
        return super().targets(split)

    def facts(self, splits: Mapping[str, Split], answers: Callable) -> dict[str, Any]:
        """Return the scores by type of entity, and of a control: the tag that each word has most often in train."""
        classes, found = splits["train"].classes, {}
        common = most_frequent(splits["train"])
        for name in ("val", "test"):
            guess = np.full(splits[name].x.shape, OUTSIDE)
            for row, place, word in words_of(splits[name]):
                guess[row, place] = common.get(word, OUTSIDE)
            truth, answer = named(splits[name].y, guess, classes)  # type: ignore[arg-type]
            found[name] = {"f1": f1(truth, answer)}
        y, y_pred = answers(splits["test"])
        types = entity_scores(*named(y, y_pred.argmax(-1), classes))
        return {"entities": {kind: {key: float(value) for key, value in scores.items()}
                             for kind, scores in types.items()},
                "controls": {"most frequent tag of each word": found}}

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Return for each token (T,) of each sentence its most probable tag and the probability."""
        return of_tokens(outputs, classes)

    def chosen(self, answers: Sequence[tuple[str, float]]) -> list[str]:
        """Return all words with their tags."""
        return [label for label, _ in answers]

    def sections(self, findings: Findings) -> list[Section]:
        entities, result = findings.result["entities"], findings.result
        scores = {result["recipe"]: result, **result["controls"]}
        rows = [(kind, *(f"{each[key]:.3f}" for key in ("precision", "recall", "f1-score")), int(each["support"]))
                for kind, each in entities.items()]
        return [
            Section("Entities of the test split", table(("", "precision", "recall", "F1", "entities"), rows) + note(
                "Whole entities, strict: type and both ends are right. Words that were cut off count as missed."),
                id="entities", above=True),
            Section("Controls", table(("", "val F1", "test F1"), [
                (name, *(f"{each[split]['f1']:.3f}" if "f1" in each[split] else "undefined"
                         for split in ("val", "test"))) for name, each in scores.items()]),
                id="controls")]


@keras.saving.register_keras_serializable(package="kerasdl")
class WordAccuracy(TokenAccuracy):
    """The share of the words that a model sees whose tag is right. Most words are O, so that it is always high."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(seen(y_true, y_pred), y_pred, sample_weight)


def seen(y: Any, y_pred: Any) -> Any:
    """Return the targets (B, T) of the tokens that a model was given, which may be trimmed, of y (B, T + L)."""
    return y[:, :keras.ops.shape(y_pred)[1]]


def named(y: np.ndarray, guess: np.ndarray, classes: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the true tags and the answers of each sentence's words in their order, for words without a token O.

    Args:
        y: (N, T + L) targets, as kerasdl.data.spec says of "tags".
        guess: (N, T) indices.
        classes: the tags' names.
    """
    wide = np.full(y.shape, OUTSIDE)
    wide[:, :guess.shape[1]] = guess[:, :y.shape[1]]
    orders = [order_of(row, len(classes)) for row in y]
    return tuple([[classes[row[place] % len(classes)] for place in order]
                  for row, order in zip(values, orders, strict=True)]
                 for values in (y, wide))  # type: ignore[return-value]


def order_of(row: np.ndarray, classes: int) -> list[int]:
    """Return the places in a row of targets (T + L,) by the order of their words in the sentence."""
    order = np.flatnonzero((row >= 0) & (row < classes)).tolist()
    for place in np.flatnonzero(row >= classes).tolist():
        order.insert(int(row[place]) // classes - 1, place)
    return order


def f1(truth: list[list[str]], answer: list[list[str]]) -> float:
    """Return the F1 of whole entities; NaN where there is none to be found."""
    found = entity_scores(truth, answer)["micro avg"]
    return float(found["f1-score"]) if found["support"] else math.nan


def entity_scores(truth: list[list[str]], answer: list[list[str]]) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and support by type and as "micro avg", as seqeval gives them, strict and IOB2.

    Raises:
        UserError: seqeval is not installed.
    """
    try:
        from seqeval.metrics import classification_report
        from seqeval.scheme import IOB2
    except ImportError:
        raise UserError("objective=tag is scored by the package seqeval, which is not installed: "
                        "pip install 'kerasdl[text]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that are never answered
        found = classification_report(truth, answer, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    kinds = sorted(key for key in found if not key.endswith(" avg"))
    none = {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 0.0}
    return {**{kind: found[kind] for kind in kinds}, "micro avg": found.get("micro avg", none)}


def words_of(split: Split) -> Iterator[tuple[int, int, Word]]:
    """Yield the row and the place of each word that was not cut off, and its tokens, without that of a text's end."""
    end_of_text = Tokens(split.files[FILE]).ends() if FILE in split.files else None
    for row, (tokens, tags) in enumerate(zip(split.x, split.y, strict=True)):  # type: ignore[arg-type]
        places = np.flatnonzero(tags[:len(tokens)] >= 0)
        for place, end in zip(places, [*places[1:], len(tokens)], strict=True):
            yield row, int(place), tuple(token for token in tokens[place:end].tolist()
                                         if token and token != end_of_text)


def most_frequent(split: Split) -> dict[Word, int]:
    """Return the tag that each word has most often; of several the one with the lowest index."""
    counts: dict[Word, np.ndarray] = {}
    for row, place, word in words_of(split):
        counts.setdefault(word, np.zeros(len(split.classes), "int64"))[split.y[row, place]] += 1  # type: ignore[index]
    return {word: int(found.argmax()) for word, found in counts.items()}
