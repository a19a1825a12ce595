"""Hyperband (Li et al. 2018, arXiv:1603.06560): start many trials for a few epochs, and promote the best to more.

A bracket starts with a round of new trials; each later round continues the best `1 / factor` of the round before for
`factor` times as many epochs. The brackets trade the number of trials for their epochs. A trial that fails, or a
combination that does not exist, leaves its place in the round empty, and the rest is promoted without it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kerasdl.tuning.records import Answer, Proposal, Rung, Space, TrialRecord
from kerasdl.tuning.samplers.random import unseen

FACTOR = 3  # of the epochs of a round to those of the one before


def propose(space: Space, trials: Sequence[TrialRecord], seed: int, *, direction: str, max_epochs: int,
            factor: int = FACTOR, begins: bool = True) -> Proposal | Answer:
    """Propose a new trial or a promotion, from the most aggressive bracket that has one.

    Args:
        direction: whether "max" or "min" is the best score.
        max_epochs: of a trial that is promoted to the end.
        begins: whether new trials are proposed; else promotions only, as where all points were tried.
    """
    for number in reversed(range(brackets(max_epochs, factor))):
        bracket = Bracket.of(trials, number, max_epochs, factor, direction)
        if bracket.full(number):
            continue
        if begins and not bracket.full(0) and (values := unseen(space, trials, seed)) is not None:
            return Proposal(values, Rung(bracket.epochs(0), None, number, 0))
        if promoted := bracket.promotion():
            return promoted
    return Answer.WAIT if any(trial.pending for trial in trials) else Answer.DONE


def brackets(max_epochs: int, factor: int) -> int:
    """Return how many brackets there are: the first round of the most aggressive one has an epoch or more."""
    count, epochs = 0, float(max_epochs)
    while epochs >= 1:
        count, epochs = count + 1, epochs / factor
    return count


@dataclass(frozen=True)
class Bracket:
    """One bracket: `number` + 1 rounds of trials."""

    number: int
    max_epochs: int
    factor: int
    direction: str
    rounds: list[list[TrialRecord]]

    @classmethod
    def of(cls, trials: Sequence[TrialRecord], number: int, max_epochs: int, factor: int, direction: str) -> "Bracket":
        mine = [trial for trial in trials if trial.rung and trial.rung.bracket == number]
        rounds = [[trial for trial in mine if trial.rung and trial.rung.round == index] for index in range(number + 1)]
        return cls(number, max_epochs, factor, direction, rounds)

    def size(self, index: int) -> int:
        """Return how many trials a round has; all brackets train about as many epochs.

        Rounded up, as keras-tuner has it: of 81 epochs and factor 3 the rounds of 34 are 34, 12, 4 and 2, where the
        paper, which rounds down, has 34, 11, 3 and 1. More trials are trained to the end.
        """
        last = math.ceil(1 + math.log(self.max_epochs, self.factor)) / (self.number + 1)
        return math.ceil(last * self.factor ** (self.number - index))

    def epochs(self, index: int) -> int:
        """Return until which epoch a round trains."""
        return math.ceil(self.max_epochs / self.factor ** (self.number - index))

    def full(self, index: int) -> bool:
        """Return whether a round has all its trials."""
        return len(self.rounds[index]) >= self.size(index)

    def promotion(self) -> Proposal | None:
        """Return the best trial that can move to the next round: more are ready than the next round leaves out."""
        for index in range(1, self.number + 1):
            ready, left_out = self.ready(index - 1), self.size(index - 1) - self.size(index)
            if not self.full(index) and ready and len(ready) + self.lost(index - 1) > left_out:
                best = (max if self.direction == "max" else min)(ready, key=lambda trial: trial.score or 0.0)
                return Proposal(dict(best.values), Rung(self.epochs(index), best.id, self.number, index))
        return None

    def ready(self, index: int) -> list[TrialRecord]:
        """Return the trials of a round that have a score and were not promoted."""
        promoted = {trial.rung.parent for trial in self.rounds[index + 1] if trial.rung}
        return [trial for trial in self.rounds[index] if trial.score is not None and trial.id not in promoted]

    def lost(self, index: int) -> int:
        """Return how many places of a round will never have a score.

        `propose` fills the first round before it asks for a promotion, so what is empty there stays empty.
        """
        trials, closed = self.rounds[index], index == 0
        if index:
            scored = sum(trial.score is not None for trial in self.rounds[index - 1])
            closed = scored + self.lost(index - 1) == self.size(index - 1) and not self.ready(index - 1)
        failed = sum(trial.status == "failed" for trial in trials)
        return failed + (self.size(index) - len(trials) if closed else 0)
