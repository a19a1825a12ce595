"""What a language model has to beat: n-grams counted, and smoothed as Witten & Bell 1991 do.

The probability of a token after a context of k tokens mixes what was counted there with the probability after the last
k - 1 of them; the more different tokens followed the context, the less its own counts weigh.
"""

from collections.abc import Mapping

import numpy as np

LONGEST = 7  # tokens of context; no text that is counted in seconds has use for more


def bits(train: np.ndarray, new: int, splits: Mapping[str, np.ndarray], vocabulary: int) -> list[dict[str, float]]:
    """Return the bits a token of each split by contexts of 0, 1, 2... tokens, as long as train has such and they fit
    into 63 bits.

    Only what a row holds is context, as for a model that sees one row at a time. The first token of a row is given.

    Args:
        train: (N, T) tokens, 0 for padding; of rows that overlap, each token is counted once.
        new: how many tokens at the end of a row the row before it does not have, where the two overlap.
        splits: the rows to measure, (M, T) each, which do not overlap.
        vocabulary: the number of tokens, padding included.
    """
    longest = min(LONGEST, int(63 / np.log2(vocabulary)) - 1, train.shape[1] - 1)
    width = train.shape[1]
    overlaps = np.flatnonzero((train[1:, :width - new] == train[:-1, new:]).all(axis=1)) + 1  # of val, if joined: none
    likely = {name: np.full(rows.shape, 1 / (vocabulary - 1)) for name, rows in splits.items()}
    found = []
    for order in range(longest + 1):
        first = max(order, 1)
        counted = train[:, first:] > 0
        counted[overlaps, :max(0, width - new - first)] = False
        if not counted.any():  # all texts are shorter
            break
        pairs, times = np.unique(_grams(train, order, vocabulary, first)[counted], return_counts=True)
        contexts, begins, followers = np.unique(pairs // vocabulary, return_index=True, return_counts=True)
        totals = np.add.reduceat(times, begins)
        for name, rows in splits.items():
            asked = _grams(rows, order, vocabulary, first)
            context = asked // vocabulary
            different, total = _looked_up(contexts, followers, context), _looked_up(contexts, totals, context)
            shorter = likely[name][:, first:]
            mixed = (_looked_up(pairs, times, asked) + different * shorter) / np.maximum(different + total, 1)
            likely[name][:, first:] = np.where(total > 0, mixed, shorter)
        found.append({name: float(-np.log2(likely[name][:, 1:][rows[:, 1:] > 0]).mean())
                      for name, rows in splits.items()})
    return found


def _grams(rows: np.ndarray, order: int, vocabulary: int, first: int) -> np.ndarray:
    """Return one number for each token from column `first` on and the `order` tokens before it: (N, T - first)."""
    width = rows.shape[1]
    grams = np.zeros((len(rows), width - first), "int64")
    for back in range(order, -1, -1):
        grams = grams * vocabulary + rows[:, first - back:width - back]
    return grams


def _looked_up(known: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the value of each number asked for, 0 for one that is not in `known`, which is sorted."""
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[place] == asked, values[place], 0)
