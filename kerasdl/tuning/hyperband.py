"""Hyperband: many trials for a few epochs, of which the best go on for more."""

from dataclasses import dataclass
from typing import Any

from keras_tuner.engine.trial import Trial
from keras_tuner.oracles import HyperbandOracle


@dataclass(frozen=True)
class Rung:
    """How far a trial trains.

    Attributes:
        epochs: after which it stops, of the recipe's own, which its schedule spans.
        parent: the trial that it goes on from, at that one's last step; None: from the beginning.
    """

    epochs: int
    parent: str | None = None


def rung(trial: Trial) -> Rung | None:
    """Of a trial that Hyperband made; None of another."""
    values = trial.hyperparameters.values
    if "tuner/epochs" not in values:
        return None
    return Rung(values["tuner/epochs"], values.get("tuner/trial_id"))


class Hyperband(HyperbandOracle):
    """keras-tuner's brackets and rounds (Li et al. 2018, arXiv:1603.06560), in which a trial that fails, or a space
    that has no more combinations, leaves a place empty. keras-tuner waits for it: with a few failures nothing of a
    bracket is promoted. It also gives what is promoted the wrong bracket's number once a later bracket has begun."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._exhausted = False

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._remove_completed_brackets()
        while True:
            for bracket in self._brackets:
                values = self._begin(trial_id, bracket) or self._promote(trial_id, bracket)
                if values:
                    return {"status": "RUNNING", "values": values}
            last = self._current_bracket == 0 and self._current_iteration + 1 == self.hyperband_iterations
            if last or self._exhausted:
                return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}
            self._increment_bracket_num()
            self._start_new_bracket()

    def _begin(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any] | None:
        """Values of a new trial in the first round of a bracket, if it has a place."""
        number, first = bracket["bracket_num"], bracket["rounds"][0]
        if self._exhausted or len(first) >= self._get_size(number, 0):
            return None
        values = self._random_values()
        if values is None:
            self._exhausted = True
            return None
        first.append({"past_id": None, "id": trial_id})
        return values | self._place(number, 0)

    def _promote(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any] | None:
        """Values of the best trial that may go on to the next round of a bracket."""
        number, rounds = bracket["bracket_num"], bracket["rounds"]
        for index in range(1, len(rounds)):
            size, before = self._get_size(number, index), self._get_size(number, index - 1)
            ready = self._ready(rounds, index - 1)
            if len(rounds[index]) < size and ready and len(ready) + self._lost(bracket, index - 1) > before - size:
                best = (max if self.objective.direction == "max" else min)(ready, key=lambda trial: trial.score)
                rounds[index].append({"past_id": best.trial_id, "id": trial_id})
                return best.hyperparameters.values | self._place(number, index) | {"tuner/trial_id": best.trial_id}
        return None

    def _place(self, number: int, index: int) -> dict[str, int]:
        return {"tuner/epochs": self._get_epochs(number, index), "tuner/bracket": number, "tuner/round": index,
                "tuner/initial_epoch": self._get_epochs(number, index - 1) if index else 0}

    def _ready(self, rounds: list[list[dict[str, Any]]], index: int) -> list[Trial]:
        """Trials of a round that completed and did not go on."""
        gone = {place["past_id"] for place in rounds[index + 1]} if index + 1 < len(rounds) else set()
        trials = [self.trials[place["id"]] for place in rounds[index] if place["id"] not in gone]
        return [trial for trial in trials if trial.status == "COMPLETED"]

    def _lost(self, bracket: dict[str, Any], index: int) -> int:
        """Places of a round that will never have a score."""
        rounds, size = bracket["rounds"], self._get_size(bracket["bracket_num"], index)
        trials = [self.trials[place["id"]] for place in rounds[index]]
        if index == 0:
            over = self._exhausted
        else:
            past = [self.trials[place["id"]] for place in rounds[index - 1]]
            scored = sum(trial.status == "COMPLETED" for trial in past)
            before = self._get_size(bracket["bracket_num"], index - 1)
            over = scored + self._lost(bracket, index - 1) == before and not self._ready(rounds, index - 1)
        return sum(trial.status == "FAILED" for trial in trials) + (size - len(trials) if over else 0)

    def get_state(self) -> dict[str, Any]:
        return super().get_state() | {"exhausted": self._exhausted}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._exhausted = state["exhausted"]
