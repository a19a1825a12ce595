"""A random search of 30 trials around mlp_digits, from return to prompt: python -m benchmarks.search_race

Ours is `kerasdl.tuning` with two workers, which leaves a folder with a run for each trial. The opponent is what one
would write with Optuna and PyTorch: one script, the data in tensors, a function of a trial that builds, trains and
judges a network. It has our space, network, optimizer, augmentation, average, schedule, batch and epochs, and is run
with one trial at a time on two threads, and with two at a time on one thread each. Each side draws its own trials.

    python -m benchmarks.search_race --repeats 5      writes docs/results/bench_search_race.json
"""

import json
import math
import sys
import tempfile
from functools import partial
from typing import Any

from benchmarks import harness

TRIALS = 30
LOW, HIGH = {"lr": 3e-4, "weight_decay": 1e-3, "drop": 0.0}, {"lr": 1e-2, "weight_decay": 0.3, "drop": 0.6}
BATCH, EPOCHS, DECAY, WIDTHS = 64, 60, 0.99, (512, 512)  # of the recipe, as is a cosine without warmup
SIDES = ("ours", "optuna", "optuna, two at a time")


def ours(trials: int, seed: int) -> float:
    """The best accuracy on validation data of our search."""
    from kerasdl.tuning import Search, log, uniform
    from kerasdl.tuning.engine import tune
    from kerasdl.tuning.table import ranked

    search = Search(recipe="mlp_digits", oracle="random", trials=trials, seed=seed, stop_early=False, space={
        "lr": log(LOW["lr"], HIGH["lr"]), "weight_decay": log(LOW["weight_decay"], HIGH["weight_decay"]),
        "model_args.drop": uniform(LOW["drop"], HIGH["drop"])})
    with tempfile.TemporaryDirectory() as folder:
        return ranked(tune(search, folder, workers=harness.THREADS, verbose=False).records(), search)[0].score


def optuna(trials: int, seed: int, jobs: int) -> float:
    """The same of a study of Optuna whose trials are trained by PyTorch."""
    import optuna
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    torch.set_num_threads(harness.THREADS // jobs)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    images, labels = load_digits(return_X_y=True)
    images, _, labels, _ = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
    parts = train_test_split(images, labels, test_size=180, stratify=labels, random_state=0)  # those of our splits
    x_train, x_val = (torch.tensor(part * (255 / 16), dtype=torch.float32).reshape(-1, 8, 8) for part in parts[:2])
    y_train, y_val = map(torch.tensor, parts[2:])

    def moved(x, draw):
        """Images moved by up to one pixel, by themselves, with black where they were not."""
        padded = F.pad(x, (1, 1, 1, 1))
        rows, columns = (torch.randint(0, 3, (len(x), 1), generator=draw) + torch.arange(8) for _ in range(2))
        return padded[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]

    def objective(trial):
        lr = trial.suggest_float("lr", LOW["lr"], HIGH["lr"], log=True)
        decay = trial.suggest_float("weight_decay", LOW["weight_decay"], HIGH["weight_decay"], log=True)
        drop = trial.suggest_float("drop", LOW["drop"], HIGH["drop"])
        draw = torch.Generator().manual_seed(seed * trials + trial.number)
        layers, inside = [nn.Flatten()], 64
        for width in WIDTHS:
            layers += [nn.Linear(inside, width), nn.ReLU(), nn.Dropout(drop)]
            inside = width
        network = nn.Sequential(*layers, nn.Linear(inside, 10))
        average = torch.optim.swa_utils.AveragedModel(
            network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY))
        kernels = [weight for weight in network.parameters() if weight.ndim > 1]
        others = [weight for weight in network.parameters() if weight.ndim == 1]
        optimizer = torch.optim.AdamW([{"params": kernels, "weight_decay": decay},
                                       {"params": others, "weight_decay": 0.0}], lr, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * math.ceil(len(x_train) / BATCH))
        best = 0.0
        for _ in range(EPOCHS):
            network.train()
            for index in torch.randperm(len(x_train), generator=draw).split(BATCH):
                F.cross_entropy(network(moved(x_train[index], draw) / 127.5 - 1), y_train[index]).backward()
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                average.update_parameters(network)
            average.eval()
            with torch.inference_mode():
                best = max(best, (average(x_val / 127.5 - 1).argmax(1) == y_val).float().mean().item())
        return best

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed))
    study.optimize(objective, n_trials=trials, n_jobs=jobs)
    return study.best_value


def main() -> None:
    parser = harness.parser(__doc__.partition("\n")[0], "bench_search_race.json", 3)
    parser.add_argument("--trials", type=int, default=TRIALS)
    words = parser.parse_args()
    harness.pin()
    around, seeds = harness.surroundings(), dict.fromkeys(SIDES, 0)

    def once(side: str) -> dict[str, Any]:
        seeds[side] += 1
        return harness.call("benchmarks.search_race", "side", side, words.trials, seeds[side], timeout=1800)

    said = harness.interleaved({side: partial(once, side) for side in SIDES}, 1 if words.quick else words.repeats)
    mine = harness.median(said["ours"], "wall_seconds")
    rows = [{"program": side, "trials": words.trials, "seconds": (taken := harness.median(said[side], "wall_seconds")),
             "spread": harness.spread(said[side], "wall_seconds"), "ratio": harness.ratio(taken, mine),
             "best": [one["best"] for one in said[side]], "peak_mb": harness.median(said[side], "peak_mb"),
             "repeats": len(said[side]), "environment": around} for side in SIDES]
    harness.save(words.out, rows)


def child(side: str, trials: str, seed: str) -> None:
    from benchmarks import meter

    best = ours(int(trials), int(seed)) if side == "ours" else optuna(int(trials), int(seed), 1 + ("two" in side))
    print("\n" + json.dumps({"best": best, "peak_mb": meter.peak_mb()}), flush=True)


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["side"] else main()
