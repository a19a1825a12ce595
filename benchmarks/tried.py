"""Two changes that theory recommends, measured and not made: python -m benchmarks.tried improvement, or lazy.

improvement: whether the Bayesian sampler should take the noise of the scores out of its expected improvement. Surfaces
of benchmarks/tuning.py, as they are and with normal noise on each score; a regret is of the true value. Twenty seeds.
lazy: whether Adam should be corrected where gradient penalties are computed in every k-th step only (Karras et al.
2020, arXiv:1912.04958, appendix B): learning rate times c, and betas to the power of c = k / (k + 1). gan_digits.
Writes docs/results/bench_tried.json.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from scipy.special import ndtr
from scipy.stats import binomtest, norm

from benchmarks import page, tuning
from benchmarks.harness import RESULTS, save, surroundings

NAME = "bench_tried"
SURFACES = (("Branin", 0.0), ("Hartmann-6", 0.0), ("Branin", 2.0), ("Hartmann-6", 0.2))  # and the noise's deviation
FORMS = {"noisy": "as it is", "noiseless": "without noise", "latent_best": "and below the best mean"}


def acquisition(form: str) -> Callable:
    """Return a form of kerasdl.tuning.samplers.bayesian.acquisition; "noisy" is the package's own."""
    def improvement(process, features: np.ndarray, best: float) -> np.ndarray:
        mean, deviation = process.predict(features, return_std=True)
        if form != "noisy":
            deviation = np.sqrt(np.maximum(deviation**2 - process.kernel_.k2.noise_level, 1e-12))
        if form == "latent_best":
            best = process.predict(process.X_train_).min()
        z = (best - mean) / deviation
        ratio = np.where(z > -5, norm.pdf(z) + z * ndtr(z), 0.0)
        far = -0.5 * z**2 - 2 * np.log(np.maximum(-z, 1.0)) - 0.5 * np.log(2 * np.pi)
        return np.log(deviation) + np.where(z > -5, np.log(np.maximum(ratio, 1e-300)), far)
    return improvement


def regret(name: str, noise: float, form: str, seed: int) -> dict[str, Any]:
    """Return the regret of the best of 50 trials, and of the one with the best score, which noise may have chosen."""
    surface, rng, truth = tuning.surfaces()[name], np.random.default_rng(10_000 + seed), []

    def score(values: dict[str, Any]) -> float:
        truth.append(surface.score(values))
        return truth[-1] + noise * rng.standard_normal()

    with mock.patch("kerasdl.tuning.samplers.bayesian.acquisition", acquisition(form)):
        scores = tuning.ours("bayesian", surface._replace(score=score), seed)
    return {"question": "improvement", "surface": name, "noise": noise, "form": form, "seed": seed,
            "best": min(truth) - surface.lowest, "chosen": truth[int(np.argmin(scores))] - surface.lowest}


def gan(corrected: bool, seed: int) -> dict[str, Any]:
    """Return the scores of gan_digits, with Adam corrected in the discriminator or as it is."""
    import keras

    import kerasdl
    from kerasdl.objectives.adversarial import Adversarial

    class Shrunk(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, schedule: Callable, factor: float):
            self.schedule, self.factor = schedule, factor

        def __call__(self, step):
            return self.factor * self.schedule(step)

        def get_config(self):
            return {"schedule": self.schedule, "factor": self.factor}

    plain = Adversarial.compile

    def compile(self, model, generator, discriminator, *, jit):
        factor = self.settings.lazy / (self.settings.lazy + 1)
        discriminator.beta_1, discriminator.beta_2 = discriminator.beta_1**factor, discriminator.beta_2**factor
        discriminator._learning_rate = Shrunk(discriminator._learning_rate, factor)
        plain(self, model, generator, discriminator, jit=jit)

    with tempfile.TemporaryDirectory() as folder, \
            mock.patch.object(Adversarial, "compile", compile if corrected else plain):
        result = kerasdl.train("gan_digits", seed=seed, workdir=Path(folder) / "run").result
    return {"question": "lazy", "corrected": corrected, "seed": seed, "val": result["val"], "test": result["test"]}


def improvement_body(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of regrets: medians over seeds of the best of 50 trials, and who is nearer in how many."""
    found = [row for row in rows if row["question"] == "improvement"]
    if not found:
        return page.NOT_RUN
    lines = []
    for name, noise in SURFACES:
        regrets = {form: [row["best"] for row in found if (row["surface"], row["noise"], row["form"]) ==
                          (name, noise, form)] for form in FORMS}
        cells = [f"{statistics.median(values):.2g} ({statistics.mean(values):.2g})" for values in regrets.values()]
        nearer = sum(a < b for a, b in zip(regrets["noiseless"], regrets["noisy"], strict=True))
        lines.append((name, f"{noise:g}", *cells, f"{nearer} of {len(regrets['noisy'])}"))
    noisy, every = (signs(found, [noise for _, noise in SURFACES if noise >= least]) for least in (1e-9, 0.0))
    return page.table(("search", "noise", *FORMS.values(), "nearer without noise"), lines) + \
        f"\nA sign test gives p = {noisy:.2f} for the rows with noise, and p = {every:.2f} for all rows.\n"


def signs(rows: list[dict[str, Any]], noises: list[float]) -> float:
    """Return the two-sided p of a sign test: whether the form without noise is as often nearer as the other."""
    by = {(row["surface"], row["noise"], row["seed"], row["form"]): row["best"] for row in rows}
    pairs = [(best, by[(*key[:3], "noiseless")]) for key, best in by.items() if key[3] == "noisy" and key[1] in noises]
    return float(binomtest(sum(b < a for a, b in pairs), sum(a != b for a, b in pairs)).pvalue)


def lazy_body(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of Fréchet distances, mean and deviation over seeds."""
    if not [row for row in rows if row["question"] == "lazy"]:
        return page.NOT_RUN
    lines = []
    for corrected, name in ((False, "Adam as it is"), (True, "corrected")):
        runs = [row for row in rows if row["question"] == "lazy" and row["corrected"] is corrected]
        cells = []
        for split in ("val", "test"):
            values = [row[split]["frechet_cnn_digits"] for row in runs]
            cells.append(f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}")
        lines.append((name, *cells, f"{len(runs)} ({min(row['seed'] for row in runs)}-"
                                    f"{max(row['seed'] for row in runs)})"))
    return page.table(("discriminator's optimizer", "Fréchet distance on val", "on test", "runs (seeds)"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", choices=("improvement", "lazy"))
    parser.add_argument("--seeds", type=int)
    options = parser.parse_args()
    kept = [row for row in page.load(RESULTS, NAME) if row["question"] != options.question]
    calls: list[Callable[[], dict[str, Any]]]
    if options.question == "improvement":
        calls = [lambda given=(name, noise, form, seed): regret(*given) for seed in range(options.seeds or 20)
                 for name, noise in SURFACES for form in FORMS]
    else:
        calls = [lambda given=(corrected, seed): gan(*given) for seed in range(options.seeds or 6)
                 for corrected in (False, True)]
    rows: list[dict[str, Any]] = []
    for call in calls:
        rows.append(call() | {"environment": surroundings()})
        save(RESULTS / f"{NAME}.json", kept + rows)
        print({key: value for key, value in rows[-1].items() if key != "environment"}, flush=True)


if __name__ == "__main__":
    main()
