"""Scores of all answers of a split together, which no mean over batches gives. They are scikit-learn's own.

A class that has no example in the split, or nothing but examples, has no ranking: means over classes leave it out.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, log_softmax, logsumexp


def of_classes(score: str, truth: np.ndarray, logits: np.ndarray) -> float:
    """Return "balanced_accuracy", "macro_f1" or "auc" of one class an example.

    "auc" is the area under the ROC curve: of two classes that of the second, of more the mean of each against the rest.
    "macro_f1" leaves out classes that are neither in the split nor predicted, as scikit-learn does.

    Args:
        truth: (N,) class indices.
        logits: (N, classes).
    """
    from sklearn.metrics import f1_score, roc_auc_score

    if score == "auc":
        classes = logits.shape[1]
        chosen = [1] if classes == 2 else range(classes)
        return mean_over_classes(roc_auc_score, truth[:, None] == chosen, log_odds(logits)[:, chosen])
    guess = logits.argmax(1)
    if score == "macro_f1":
        return float(f1_score(truth, guess, average="macro", zero_division=0.0))
    present = np.unique(truth)  # recall of the others is undefined
    recalls = [float((guess[truth == label] == label).mean()) for label in present]
    return float(np.mean(recalls))


def log_odds(logits: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of each class (N, classes), float64, which still has an order where p is rounded to 1."""
    logits = logits.astype("float64")
    if logits.shape[1] == 2:
        return logits - logits[:, ::-1]
    best, others = logits.argmax(1)[:, None], logits.copy()
    np.put_along_axis(others, best, -np.inf, axis=1)
    logs = log_softmax(logits, axis=1)
    np.put_along_axis(logs, best, -1.0, axis=1)  # replaced below; of the others p is 1/2 or less
    found = logs - np.log1p(-np.exp(logs))
    highest = logits.max(1, keepdims=True) - logsumexp(others, axis=1, keepdims=True)
    np.put_along_axis(found, best, highest, axis=1)
    return found


def of_labels(score: str, rows: np.ndarray, logits: np.ndarray) -> float:
    """Return "map", "macro_f1" or "auc" of several labels an example.

    "map" is the mean over classes of the average precision, "auc" that of the area under the ROC curve. "macro_f1" is
    at a probability of 1/2, over all classes; one that is neither there nor predicted has 0.

    Args:
        rows: (N, classes), 0 or 1.
        logits: (N, classes).
    """
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    if score == "macro_f1":
        return float(f1_score(rows, logits >= 0, average="macro", zero_division=0.0))
    return mean_over_classes(average_precision_score if score == "map" else roc_auc_score, rows > 0, logits)


def mean_over_classes(score: Callable, there: np.ndarray, values: np.ndarray) -> float:
    """Return the mean of a ranking score over the classes that some examples have and some have not; NaN if none is so.

    Args:
        score: of (N,) booleans and (N,) values.
        there: (N, classes) booleans.
        values: (N, classes), larger where an example is more likely to have the class.
    """
    some = np.flatnonzero(there.any(0) & ~there.all(0))
    return float(np.average([score(there[:, index], values[:, index]) for index in some])) if len(some) else np.nan


def best_thresholds(rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return for each class the probability from which on a label is given, so that its F1 is highest.

    It lies halfway between the least probability that is taken and the next one; 1/2 for a class that no row has.
    """
    found = np.full(rows.shape[1], 0.5)
    for index in np.flatnonzero(rows.any(0)):
        order = np.argsort(-logits[:, index], kind="stable")
        falling = np.append(expit(logits[order, index].astype("float64")), 0.0)
        right = np.cumsum(rows[order, index])
        f1 = 2 * right / (np.arange(1, len(rows) + 1) + right[-1])
        best = int(np.argmax(np.where(falling[:-1] > falling[1:], f1, -1.0)))  # not between equal ones
        found[index] = (falling[best] + falling[best + 1]) / 2
    return found


def at_thresholds(rows: np.ndarray, logits: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """Return macro F1, micro F1 and the share of rows (N, classes) of which every label is right."""
    from sklearn.metrics import f1_score

    given = expit(logits.astype("float64")) >= thresholds
    f1 = {f"{mean}_f1": float(f1_score(rows, given, average=mean, zero_division=0.0)) for mean in ("macro", "micro")}
    return {**f1, "subset_accuracy": float((given == rows).all(1).mean())}
