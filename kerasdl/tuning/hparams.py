"""The event files of a search for TensorBoard's HParams: `tensorboard --logdir DIR/trials`."""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api
from tensorboard.plugins.hparams.summary_v2 import hparams_config_pb, hparams_pb

from kerasdl.files import whole
from kerasdl.tuning.median_stopping import logged_as
from kerasdl.tuning.study import Study
from kerasdl.tuning.trials import OUTCOME, read

FILE = "events.out.tfevents.0.hparams"


def write(study: Study) -> None:
    """Write a file for the search, and one in each ended trial's TensorBoard folder, next to its curves."""
    records = [record for record in study.records() if record.score is not None]
    scores = (read(records[0].folder / OUTCOME) or {}).get("scores", {}) if records else {}
    metric = logged_as(study.search.objective, scores).rpartition("/")[2]
    keys = dict.fromkeys(key for record in records for key in record.values)
    shown = api.Metric(f"epoch_{metric}", group="validation", display_name=study.search.objective)
    with study.writing():
        _write(study.folder / "trials", hparams_config_pb([api.HParam(key) for key in keys], [shown], 0))
        for record in records:
            values = {key: _plain(value) for key, value in record.values.items()}
            _write(record.folder / "tensorboard", hparams_pb(values, trial_id=record.id, start_time_secs=0))


def _write(folder: Path, summary: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / FILE) as partial, tf.io.TFRecordWriter(os.fspath(partial)) as writer:
        writer.write(tf.compat.v1.Event(file_version="brain.Event:2").SerializeToString())
        event = tf.compat.v1.Event(summary=tf.compat.v1.Summary.FromString(summary.SerializeToString()))
        writer.write(event.SerializeToString())


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else repr(value)
