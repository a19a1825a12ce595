"""`kerasdl auto` against what one would do instead, on the same splits: docs/results/auto.json.

    python -m benchmarks.auto FOLDER       FOLDER has mnist1d.npz (benchmarks.sequences_data) and rt_polarity/
    python -m benchmarks.auto FOLDER --others PYTHON      also AutoGluon and FLAML, as far as that interpreter has them
    python -m benchmarks.auto FOLDER --minutes 0.5 --sets diabetes --out FILE     to try it

Rivals that know arrays alone get rows: pixels, steps, and of texts the 100 main components of TF-IDF. They are fitted
to the training split, and those that choose are given the validation split to choose with. AutoGluon and FLAML have as
many minutes as `kerasdl auto`; gradient boosting and the default recipe take what they take. AutoGluon is not given the
seed, for which it has no setting. A contender that is in the results is not run again, unless the answers of `kerasdl
auto`, with which all are compared, are gone. Use an idle machine: minutes are measured.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import r2_score

from benchmarks.harness import RESULTS, ROOT, completed, write_json
from kerasdl.auto import scores
from kerasdl.auto.asked import Asked
from kerasdl.auto.search import auto
from kerasdl.data import Split, load_splits
from kerasdl.devices.device import device
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation import intervals, predictions
from kerasdl.installation import backend
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines
from kerasdl.recipe import load
from kerasdl.run import Run
from kerasdl.train.setup import SPLITS

NAME, RUNS = "auto", ROOT / "runs" / "auto-benchmark"
SETS = {  # name -> data, overrides, objective, the recipe that one would take
    "diabetes": ("csv:{home}/diabetes.csv", ("data_args.label=progress",), "regress", "mlp_csv"),
    "breast cancer": ("csv:{home}/cancer.csv", ("data_args.label=diagnosis",), "classify", "mlp_csv"),
    "digits": ("digits", (), "classify", "cnn_digits"),
    "film reviews": ("text:{folder}/rt_polarity", ("data_args.encoding=latin-1", "data_args.length=64",
                                                   "data_args.vocabulary=20000"), "classify", "textcnn_rt"),
    "MNIST-1D": ("series:{folder}/mnist1d.npz", (), "classify", "cnn_mnist1d")}
COMPONENTS, EVEN = 100, "even"
OURS = "kerasdl auto"  # with which the others are compared
OTHERS = ("autogluon", "flaml")
Outputs = tuple[np.ndarray, str]  # of the test split: logits, or numbers; and what made them


def tables(home: Path) -> None:
    """Write the tables of scikit-learn as files."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    home.mkdir(parents=True, exist_ok=True)
    diabetes, cancer = load_diabetes(as_frame=True, scaled=False), load_breast_cancer(as_frame=True)
    diabetes.data.assign(progress=diabetes.target).to_csv(home / "diabetes.csv", index=False)
    cancer.data.assign(diagnosis=cancer.target_names[cancer.target]).to_csv(home / "cancer.csv", index=False)


def rows(splits: Mapping[str, Split]) -> dict[str, np.ndarray]:
    """Return {"x_train": (N, F), "y_train": (N,), ...} of any data."""
    if splits["train"].texts is not None:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(splits["train"].texts)
        main = TruncatedSVD(COMPONENTS, random_state=0).fit(words.transform(splits["train"].texts))
        x = {name: main.transform(words.transform(split.texts)) for name, split in splits.items()}
    else:
        x = {name: np.asarray(split.x, "float32").reshape(len(split), -1) for name, split in splits.items()}
    return {key: value for name, split in splits.items()
            for key, value in ((f"x_{name}", x[name]), (f"y_{name}", np.ravel(split.y)))}


def ours(asked: Asked, folder: Path) -> Outputs:
    """What kerasdl auto finds."""
    done = folder / "auto.json"
    found = json.loads(done.read_text()) if done.exists() else auto(asked, folder)
    kept = predictions.read(Run(folder / found["chosen"]))
    assert kept is not None
    return kept.outputs, f"{found['chosen']}, {found['baseline']} is the best baseline"


def default(asked: Asked, recipe: str, folder: Path) -> Outputs:
    """What the recipe of the package gives as it is."""
    base = asked.base
    own = load(recipe).override(data=base.data, objective=base.objective, splits=base.splits, seed=base.seed)
    # An override would keep data_args of the recipe's, such as another test_share: all have the same test examples.
    own = own.model_copy(update={"monitor": base.monitor, "data_args": dict(base.data_args)})
    kept = predictions.read(completed(once(own, folder, verbose=False)))
    assert kept is not None
    return kept.outputs, recipe


def boosting(arrays: Mapping[str, np.ndarray], objective: str, seed: int) -> Outputs:
    """What gradient boosting gives with scikit-learn's own settings."""
    if objective == "regress":
        model = HistGradientBoostingRegressor(random_state=seed).fit(arrays["x_train"], arrays["y_train"])
        return model.predict(arrays["x_test"])[:, None], "scikit-learn's settings"
    model = HistGradientBoostingClassifier(random_state=seed).fit(arrays["x_train"], arrays["y_train"])
    return np.log(np.maximum(model.predict_proba(arrays["x_test"]), 1e-9)), "scikit-learn's settings"


def other(name: str, python: str, arrays: Mapping[str, np.ndarray], objective: str, minutes: float, seed: int
          ) -> Outputs:
    """What another tool gives, in an interpreter that has it: benchmarks/auto_others.py."""
    with tempfile.TemporaryDirectory() as held:
        given, found = Path(held) / "given.npz", Path(held) / "found.npz"
        np.savez(given, **arrays)
        done = subprocess.run([python, str(Path(__file__).with_name("auto_others.py")), name, objective, str(minutes),
                               str(seed), str(given), str(found)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
        with np.load(found, allow_pickle=False) as kept:
            return kept["outputs"], str(kept["version"])


def contenders(python: str | None) -> list[str]:
    """Return who is measured: the first is what the others are compared with."""
    return [OURS, "boosting", "default recipe", *(OTHERS if python else ())]


def measure(name: str, folder: Path, minutes: float, seed: int, python: str | None, kept: Sequence[Mapping[str, Any]]
            ) -> Iterator[dict[str, Any]]:
    """Yield a row for each contender on a data set that has none among those that are kept."""
    known = {row["contender"] for row in kept if (row["set"], row["minutes"], row["seed"]) == (name, minutes, seed)}
    if known.issuperset(contenders(python)):
        return
    data, overrides, objective, recipe = SETS[name]
    asked = Asked(data.format(folder=folder, home=RUNS), objective, overrides, minutes, None, seed)
    base, home = asked.base, RUNS / f"{name.replace(' ', '_')}-{minutes:g}-{seed}"
    if not (home / "auto" / "auto.json").exists():
        known = set()  # the others were compared with answers that are gone
    target: Any = {"classify": "class", "regress": "number"}[objective]
    splits = load_splits(base.data, SPLITS | base.splits, target=target, **base.data_args)
    arrays = rows(splits)
    ways: dict[str, Callable[[], Outputs]] = {
        OURS: lambda: ours(asked, home / "auto"), "boosting": lambda: boosting(arrays, objective, seed),
        "default recipe": lambda: default(asked, recipe, home / "default")}
    for tool in OTHERS if python else ():
        ways[tool] = lambda tool=tool: other(tool, str(python), arrays, objective, minutes, seed)  # type: ignore[misc]
    truth, score = np.asarray(splits["test"].y), "r2" if objective == "regress" else "accuracy"
    first = None
    about = environment(backend=backend.current(), device=device())
    for contender, make in ways.items():
        if contender in known and contender != OURS:  # that is read: the others are compared with it
            continue
        began = time.monotonic()
        row = {"set": name, "contender": contender, "minutes": minutes, "seed": seed, "score": score}
        try:
            outputs, what = make()
        except (RuntimeError, UserError) as error:
            yield row | {"error": str(error), "environment": about}
            continue
        ahead = None if first is None else list(scores.of_difference(score, target, truth, first, outputs))
        first = outputs if contender == OURS else first
        if contender in known:
            continue
        yield row | {
            "test": tested(score, target, truth, outputs), "ahead": ahead, "what": what,
            "interval": list(scores.of_score(score, target, truth, outputs)),
            "seconds": round(time.monotonic() - began, 1), "environment": about}


def tested(score: str, target: str, truth: np.ndarray, outputs: np.ndarray) -> float:
    """Return a score of classes (N,) and logits (N, classes), or of numbers, both (N, outputs)."""
    if score == "r2":
        return float(r2_score(truth, outputs))
    if target == "class" and score != "loss":
        return intervals.score(score, truth, outputs)
    return float(scores.errors(score, target, truth, outputs).mean())


def with_row(kept: Sequence[dict[str, Any]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows with a new one in its place; one of `kerasdl auto` ends comparisons with its older answers."""
    return [each for each in kept if any(each[key] != row[key] for key in ("set", "minutes", "seed"))
            or row["contender"] not in (OURS, each["contender"])] + [row]


def outcome(row: Mapping[str, Any]) -> str:
    """Return "won", "lost" or "even" by the interval of how far kerasdl auto is ahead on the same examples."""
    low, high = row["ahead"]
    return "won" if low > 0 else "lost" if high < 0 else EVEN


def body(found: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/auto.md."""
    if not found:
        return "not run\n"
    names = list(dict.fromkeys(row["contender"] for row in found))
    lines = [f"| data | score | {' | '.join(names)} |", f"| --- | --- |{' ---: |' * len(names)}"]
    several = len({row["seed"] for row in found}) > 1
    for key in dict.fromkeys((row["set"], row["minutes"], row["seed"]) for row in found):
        mine = {row["contender"]: row for row in found if (row["set"], row["minutes"], row["seed"]) == key}
        cells = [cell(mine.get(name)) for name in names]
        score = next(iter(mine.values()))["score"]
        lines.append(f"| {key[0]}, {key[1]:g} min{f', seed {key[2]}' * several} | {score} | {' | '.join(cells)} |")
    counts = []
    for name in names[1:]:
        outcomes = [outcome(row) for row in found if row["contender"] == name and row.get("ahead")]
        counts.append(f"against {name} {', '.join(f'{outcomes.count(word)} {word}' for word in WORDS)}")
    return "\n".join([*lines, "", f"In brackets, and in all: how `kerasdl auto` did, {'; '.join(counts)}. A difference "
                      "counts if its interval of 95% on the same test examples does not hold 0.", "",
                      *(f"Measured on {line}.\n" for line in machines({"": found}))])


WORDS = ("won", "lost", EVEN)


def cell(row: Mapping[str, Any] | None) -> str:
    """Return a test score with how kerasdl auto did against it, or why there is none."""
    if row is None:
        return "not run"
    if "error" in row:
        return f"failed: {row['error'][:60]}"
    value = f"{100 * row['test']:.1f}%" if row["score"] == "accuracy" else f"{row['test']:.3f}"
    return value if row["ahead"] is None else f"{value} ({outcome(row)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--others", metavar="PYTHON", help="an interpreter that has AutoGluon or FLAML")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    tables(RUNS)
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    for seed in range(asked.seeds):
        for name in asked.sets:
            for row in measure(name, asked.folder, asked.minutes, seed, asked.others, kept):
                kept = with_row(kept, row)
                write_json(asked.out, kept)
                print(name, row["contender"], row.get("test", "failed"), flush=True)


if __name__ == "__main__":
    main()
