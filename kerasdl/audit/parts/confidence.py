"""How sure it is, how sure it should be, and what is gained when it may say several classes or none."""

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from kerasdl import figures
from kerasdl.audit import conformal, temperature
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import fold, percent, points, share, span
from kerasdl.evaluation import resampling
from kerasdl.evaluation.intervals import of_share
from kerasdl.objectives.calibration import BINS, calibration, calibration_error, equal_mass
from kerasdl.objectives.sections import Section, drawing, note, table

TITLE, ORDER, VERSION = "How sure is it, and how sure should it be?", 20, 4
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)  # of the examples that are answered
DRAWS = 1000
FEWEST = 50  # validation examples on which something can be fitted
EASIER = 3.0  # standard errors by which the test split may be easier than validation


def applies(subject: Subject) -> str:
    if subject.target != "class":
        return "A regression gives no probabilities."
    if (count := len(subject.split("val"))) < FEWEST:
        return f"Validation has {count} examples, and {FEWEST} are needed to fit something on it."
    return ""


def measure(subject: Subject) -> dict[str, Any]:
    (val, y_val), (test, y) = subject.answers("val"), subject.answers("test")
    best = temperature.fit(val, y_val)
    ways = {"as it is": (softmax(val, axis=1), softmax(test, axis=1)),
            "temperature": (softmax(val / best, axis=1), softmax(test / best, axis=1)),
            "isotonic": (isotonic(val, y_val, val), isotonic(val, y_val, test))}
    plain = ways["as it is"][1]
    losses = {"as it is": temperature.nll(test, y), "temperature": temperature.nll(test / best, y),
              "isotonic": floored(ways["isotonic"][1], y, len(y_val))}
    confidence, right = plain.max(1).astype("float64"), plain.argmax(1) == y
    random = np.random.default_rng(subject.seed)
    bins = calibration(confidence, right)
    return {"val": len(y_val), "test": len(y), "temperature": best, "unfit": temperature.unfit(val, y_val),
            "gain": temperature.gain(val, y_val, subject.seed),
            "confidence": float(confidence.mean()), "accuracy": float(right.mean()),
            "gap": float(confidence.mean() - right.mean()), "gap_interval": gap_interval(confidence, right, random),
            "honest_error": honest(confidence, random, subject.size(DRAWS, 200)),
            "ways": {name: scores(found, y) | {"nll": losses[name]} for name, (_, found) in ways.items()},
            "bins": [[None if np.isnan(value) else float(value) for value in row]
                     for row in bins[["confidence", "accuracy", "count"]].to_numpy()],
            "conformal": [found for level in conformal.LEVELS
                          if (found := conformal.measured(*ways["as it is"][:1], y_val, plain, y, level))],
            "selective": selective(confidence, right),
            "fitted_to_test": fitted_to_test(subject, val, y_val, test, y)}


def isotonic(logits: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return probabilities (M, classes) that are a rising function of those of the net, one class against the rest.

    Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", 2002.
    A function for each class is fitted on `logits` and `truth`; each row is divided by its sum.
    """
    known, new = softmax(logits.astype("float64"), axis=1), softmax(asked.astype("float64"), axis=1)
    found = np.stack([IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
        known[:, label], truth == label).predict(new[:, label]) for label in range(known.shape[1])], axis=1)
    total = found.sum(1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / known.shape[1])


def floored(chances: np.ndarray, y: np.ndarray, fitted: int) -> float:
    """Return the mean negative log-likelihood of isotonic regression's probabilities (N, classes), which would be
    infinite where it says 0: less than half of one of the `fitted` validation examples counts as that."""
    said = np.maximum(chances[np.arange(len(y)), y].astype("float64"), 0.5 / fitted / chances.shape[1])
    return float(-np.log(said).mean())


def scores(chances: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return what probabilities (N, classes) are worth for the classes (N,)."""
    confidence, right = chances.max(1).astype("float64"), chances.argmax(1) == y
    hot = np.eye(chances.shape[1])[y]
    return {"accuracy": float(right.mean()), "confidence": float(confidence.mean()),
            "error": calibration_error(confidence, right),
            "error_equal_mass": calibration_error(confidence, right, binned=equal_mass),
            "brier": float(((chances - hot) ** 2).sum(1).mean())}


def gap_interval(confidence: np.ndarray, right: np.ndarray, random: np.random.Generator) -> list[float]:
    """Return the bootstrap's 95 % of how much surer it is than right, on average."""
    means = resampling.sums((confidence - right)[:, None], random) / len(right)
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]


def honest(confidence: np.ndarray, random: np.random.Generator, draws: int) -> float:
    """Return the calibration error below which 95 % of nets lie that are right exactly as often as they say.

    It is not zero, since which examples are right is partly chance.
    """
    _, place = np.unique(np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True), return_inverse=True)
    said = np.bincount(place, weights=confidence)
    drawn = [np.abs(np.bincount(place, weights=random.random(len(place)) < confidence) - said).sum() / len(place)
             for _ in range(draws)]
    return float(np.percentile(drawn, 95))


def selective(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Return the accuracy on the examples that it is surest of (El-Yaniv and Wiener 2010)."""
    order, found = np.argsort(-confidence, kind="stable"), []
    for part in SHARES:
        taken = order[:max(1, round(part * len(order)))]
        found.append({"share": part, "accuracy": float(right[taken].mean()), "threshold": float(confidence[taken[-1]]),
                      "interval": of_share(int(right[taken].sum()), len(taken))})
    return found


def fitted_to_test(subject: Subject, val: np.ndarray, y_val: np.ndarray, test: np.ndarray, y: np.ndarray) -> list[str]:
    """Return a sentence for each sign that the probabilities were fitted to the test split."""
    found, own = [], subject.run.result.get("calibrated", {})
    if own and own.get("on") != "val":
        found.append(f"The run says of itself that its temperature was fitted on {own.get('on')}.")
    if abs(temperature.distance(test, y)) < temperature.EXACT <= abs(temperature.distance(val, y_val)):
        found.append("Its temperature is exactly the best one for the test split, which is what fitting it there "
                     "gives: by chance that comes once in a hundred nets.")
    one, other = (temperature.losses(*pair) for pair in ((val, y_val), (test, y)))
    error = np.sqrt(one.var() / len(one) + other.var() / len(other))
    if error and (one.mean() - other.mean()) / error > EASIER:
        found.append(f"It is better on test than on validation by {(one.mean() - other.mean()) / error:.1f} standard "
                     "errors: the test examples are easier, or they had a part in making the model.")
    return found


def lines(found: dict[str, Any]) -> list[str]:
    low, high = found["gap_interval"]
    how = "It is too sure" if low > 0 else "It is not sure enough" if high < 0 else "It is as sure as it should be"
    plain, warm = found["ways"]["as it is"], found["ways"]["temperature"]
    middle = f"{how}: it says {percent(found['confidence'])} on average, and is right for " \
             f"{percent(found['accuracy'])} of the test examples."
    over = plain["error"] > found["honest_error"]
    trust = f"The difference is {points(found['gap'])} (95 %: {100 * low:.1f} to {100 * high:.1f}). Its calibration " \
            f"error, the mean distance between how sure it is and how often it is right, is {plain['error']:.3f}; a " \
            f"net that is right as often as it says has up to {found['honest_error']:.3f} by chance on " \
            f"{found['test']:,} test examples, so this {'is more than chance' if over else 'may be chance'}."
    better = found["gain"] > 0
    heat = f"Dividing its outputs by {found['temperature']:.2f}, a temperature that was fitted on {found['val']:,} " \
           f"validation examples, makes that error {warm['error']:.3f}" + (
               "; kerasdl calibrate makes a run of it." if better else
               ", but it gains nothing on validation examples that it was not fitted on.")
    if found["unfit"]:
        heat = f"No temperature can be fitted: {found['unfit']}."
    lines = [*found["fitted_to_test"], middle, trust, heat]
    if found["conformal"]:
        sets = found["conformal"][len(found["conformal"]) // 2]
        lines.append(f"Asked for sets that hold the right class {share(sets['level'])} of the time, it names "
                     f"{sets['size']:.2f} classes on average, and {percent(sets['coverage'])} of its sets hold it "
                     f"({span(*sets['expected'])} was to be expected).")
    kept = found["selective"][2]
    return [*lines, f"If it may leave the {share(1 - kept['share'])} of examples that it is least sure of to others, "
                    f"it is right for {percent(kept['accuracy'])} of the rest."][:6]


def sections(found: dict[str, Any]) -> list[Section]:
    bins = np.array(found["bins"], "float64")
    confidence, accuracy, part = (bins / (1, 1, found["test"])).T.tolist()
    drawn = figures.reliability(confidence, accuracy, part, np.linspace(0, 1, BINS + 1))
    ways = table(("", "accuracy", "confidence", "calibration error", "equal-mass bins", "NLL", "Brier"),
                 [(name, percent(row["accuracy"]), percent(row["confidence"]), f"{row['error']:.4f}",
                   f"{row['error_equal_mass']:.4f}", f"{row['nll']:.4f}", f"{row['brier']:.4f}")
                  for name, row in found["ways"].items()])
    sets = table(("asked for", "hold the right class", "expected, 95 %", "classes", "one class", "no class"),
                 [(share(row["level"]), percent(row["coverage"]), span(*row["expected"]), f"{row['size']:.2f}",
                   percent(row["one"]), percent(row["empty"])) for row in found["conformal"]])
    some = table(("answered", "right", "95 %", "from a confidence of"),
                 [(share(row["share"]), percent(row["accuracy"]), span(*row["interval"]), percent(row["threshold"]))
                  for row in found["selective"]])
    return [Section("", drawing(drawn, "How often it is right, by how sure it says it is") + note(
        "A bar shows how often it is right among the examples that it is about so sure of. A bar that ends below the "
        "dotted line is too sure. The ticks at the bottom show where the examples lie.") + fold(
        "Temperature and isotonic regression", ways + note(
            "Both are fitted on validation and measured on test. The calibration error is the mean distance of bars "
            "and line, in 15 bins of equal width, or of as many examples each. NLL and Brier are losses of the "
            "probabilities: smaller is better.")) + fold(
        "Several classes instead of one", sets + note(
            "A set holds every class that is at least as probable as nearly all right answers on validation are. What "
            "share of the sets should hold the right class is known beforehand, if validation and test are drawn "
            "alike. Validation also chose the epoch, which makes it look a little easier.")) + fold(
        "Fewer answers", some + note("Accuracy on the examples that it is surest of.")))]
