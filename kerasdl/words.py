"""Words that people bring from other tools, and what they are called here; values as they type them. It imports nothing
heavy."""

import ast
from collections.abc import Iterable
from typing import Any

from kerasdl.errors import nearest

FIELDS = {  # another word: the key of a recipe
    "learning_rate": "lr", "lr0": "lr", "eta": "lr", "batch_size": "batch", "bs": "batch", "bsz": "batch",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "epoch": "epochs",
    "wd": "weight_decay", "decay": "weight_decay", "l2": "weight_decay", "dataset": "data", "datasets": "data",
    "network": "model", "net": "model", "arch": "model", "architecture": "model", "opt": "optimizer",
    "scheduler": "schedule", "lr_scheduler": "schedule", "lr_schedule": "schedule", "warmup_steps": "warmup",
    "warmup_epochs": "warmup", "random_state": "seed", "random_seed": "seed", "early_stopping": "patience",
    "early_stopping_patience": "patience", "metric": "monitor", "metric_for_best_model": "monitor",
    "monitor_metric": "monitor", "eval_metric": "monitor", "augmentation": "augment", "augmentations": "augment",
    "aug": "augment",
    "grad_clip": "global_clipnorm", "clip": "global_clipnorm", "clip_norm": "global_clipnorm",
    "gradient_clip_val": "global_clipnorm", "amp": "precision", "mixed_precision": "precision", "dtype": "precision",
    "xla": "jit", "jit_compile": "jit", "compile": "jit",
    "gradient_accumulation_steps": "accumulate", "accumulation": "accumulate", "task": "objective",
    "size": "model_args.size", "patch": "model_args.patch", "patch_size": "model_args.patch",
    "dropout": "model_args.drop", "drop": "model_args.drop", "drop_rate": "model_args.drop",
    "drop_path": "model_args.drop_path", "width": "model_args.width", "depth": "model_args.depth",
    "hidden": "model_args.width", "units": "model_args.width", "layers": "model_args.depth",
    "class_weight": "objective_args.class_weight", "class_weights": "objective_args.class_weight",
    "label": "data_args.label", "target": "data_args.label", "classes": "data_args.classes",
    "image_size": "data_args.image_size", "img_size": "data_args.image_size", "imgsz": "data_args.image_size",
}
WEIGHTS = "Weights from outside are an argument of the model: model_args.weights=NAME or FILE, see kerasdl weights " \
          "list. From a run of yours: --init RUN"
VALIDATION = "It is a part of the data: kerasdl.data.from_arrays(x, y, val=(x_val, y_val)), a folder val/, or " \
             "data_args.split=COLUMN of a table"
SENTENCES = {  # words that stand for no single key
    "loss": "The loss follows from the objective: cross-entropy for objective=classify, the squared error for regress. "
            "Your own: objective=FILE.py:CLASS, docs/extend.md.",
    "metrics": "The metrics follow from the objective. monitor=NAME chooses the score that selects the best epoch.",
    "validation_split": "The splits are parts of the data: splits.train='train[:80%]' splits.val='train[80%:]'",
    "val_split": "The splits are parts of the data: splits.train='train[:80%]' splits.val='train[80%:]'",
    "validation_data": VALIDATION, "val_data": VALIDATION,
    "pretrained": WEIGHTS, "weights": WEIGHTS, "checkpoint": WEIGHTS,
    "gpus": "Devices are an option of the command: --strategy mirrored",
    "devices": "Devices are an option of the command: --strategy mirrored",
}


def hint(word: str, known: Iterable[str]) -> str:
    """Return the sentence that follows "A recipe has no field ...": what it is called here, or the nearest key."""
    if plain(word) in SENTENCES:
        return SENTENCES[plain(word)]
    if plain(word) in FIELDS:
        return f"Did you mean {FIELDS[plain(word)]!r}?"
    found = nearest(word, known)
    return found if found.startswith("Did") else f"{found} What each means: kerasdl fields"


def key(word: str, known: Iterable[str]) -> str | None:
    """Return which known key a word means, lr for "learning-rate"; None if it means none."""
    return plain(word) if plain(word) in known else FIELDS.get(plain(word))


def plain(word: str) -> str:
    """Return an option or a key as it is written in the tables above: learning_rate for --learning-rate."""
    return word.strip("-").replace("-", "_").lower()


def parse_value(text: str) -> Any:
    """A Python literal if it reads as one, with JSON's spelling of three words; else the text itself."""
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text
