"""Several workers: TF_CONFIG, their ports, what they decide together, and what happens when one is lost."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from kerasdl.errors import UserError
from kerasdl.installation import backend


def worker() -> tuple[int, list[str]] | None:
    """(this worker's number, the addresses of all) from TF_CONFIG, checked; None where it is not set.

    Raises:
        UserError: not JSON, or no such task.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        workers = cluster["worker"]
        index, kind = task["index"], task["type"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        raise UserError(f"TF_CONFIG cannot be read ({type(error).__name__}: {error}). It looks like {form}") from None
    if set(cluster) != {"worker"}:
        raise UserError(f"The cluster of TF_CONFIG has the tasks {', '.join(sorted(cluster))}. It may have workers "
                        "only: make a chief the first of them.")
    if type(index) is not int:
        raise UserError(f"The index of TF_CONFIG's task is a whole number, such as 0. Received: {index!r}.")
    if kind != "worker" or not 0 <= index < len(workers):
        raise UserError(f"TF_CONFIG names the task {kind} {index}, and its cluster has the workers 0 to "
                        f"{len(workers) - 1}.")
    return index, workers


def this_worker() -> tuple[int, list[str]]:
    """Return what `worker` returns, where TF_CONFIG is known to be set."""
    found = worker()
    assert found is not None, "there is no TF_CONFIG"
    return found


def check_port() -> None:
    """Refuse a port in use before TensorFlow hangs on it.

    Raises:
        UserError: if this worker's own address cannot be bound.
    """
    index, addresses = this_worker()
    address = addresses[index]
    port = address.rpartition(":")[2]
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(f"TF_CONFIG gives this worker {address}, and the port cannot be used: {error}. "
                            "Choose another.") from None


def worker_id(strategy: tf.distribute.Strategy) -> str:
    """What sets this worker's files apart: "worker-1", or "" where there is one process."""
    return f"worker-{this_worker()[0]}" if describe(strategy) == "multiworker" else ""


@contextmanager
def collective_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Within it the devices compute together. An error of TensorFlow among several workers says that one is gone.

    Raises:
        WorkerLost: with the error as its cause; under another strategy the error itself, and so is one of this worker
            alone: no memory, or data that cannot be.
    """
    if backend.jax():
        with strategy.scope():
            yield
        return
    try:
        yield
    except tf.errors.OpError as error:
        own = isinstance(error, (tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError))
        if own or describe(strategy) != "multiworker":
            raise
        raise WorkerLost(f"Worker {this_worker()[0]} stops: another worker is gone or cannot be reached. Start the job "
                         "again on every worker: it goes on from the last checkpoint.") from error


@contextmanager
def undivided() -> Iterator[None]:
    """Within it Keras on JAX divides no batch among the devices, as it cannot one that is short."""
    found = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(found)


class WorkerLost(UserError):
    """Another worker of the job does not answer."""

    code = 75  # EX_TEMPFAIL of sysexits.h: try again


def any_of(strategy: tf.distribute.Strategy, mine: bool) -> bool:
    """Whether any worker says so; every worker must ask at the same step."""
    if describe(strategy) != "multiworker":
        return mine
    votes = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(float(mine)))
    return float(strategy.reduce("SUM", votes, axis=None)) > 0


def all_gather_ints(strategy: tf.distribute.Strategy, mine: list[int]) -> list[list[int]]:
    """The lists of whole numbers, of one length, that the workers hold, one of each."""
    if describe(strategy) != "multiworker":
        return [mine]
    held = strategy.experimental_distribute_values_from_function(lambda _: tf.constant([mine], tf.int64))
    gathered = strategy.gather(held, axis=0).numpy().tolist()
    return gathered[::len(gathered) // len(this_worker()[1])]


def describe(strategy: tf.distribute.Strategy) -> str:
    """The name that `choose` knows it by; "dataparallel" is several devices of JAX."""
    if backend.jax():
        return "one" if strategy.num_replicas_in_sync == 1 else "dataparallel"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return "multiworker"
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "tpu"
    return "mirrored" if isinstance(strategy, tf.distribute.MirroredStrategy) else "one"


def replicated(strategy: tf.distribute.Strategy) -> bool:
    """Whether each device takes a step of its own, as TensorFlow has it; with JAX they divide the arrays of one."""
    return describe(strategy) in ("mirrored", "multiworker", "tpu")
