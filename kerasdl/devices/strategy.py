"""Which devices train: "auto | one | mirrored | multiworker | tpu" -> a tf.distribute strategy, with its checks.

Everything of a run is created in the strategy's scope; on one device that is TensorFlow's default strategy, which does
nothing, so that there is one code path. On JAX a kerasdl.devices.jax.Devices stands for the strategy.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.devices.cluster import check_port, describe, replicated, this_worker, worker
from kerasdl.devices.device import native_bfloat16
from kerasdl.devices.names import check_name
from kerasdl.errors import UserError
from kerasdl.installation import backend, tpu
from kerasdl.recipe import Recipe


def choose(name: str = "auto", logical_cpus: int | None = None) -> tf.distribute.Strategy:
    """The strategy of that name. Call it before anything else of TensorFlow runs: it configures the devices.

    Args:
        name: "auto" is "multiworker" where TF_CONFIG is set, "tpu" where one answers, "mirrored" on several GPUs or
            logical CPUs, else "one".
        logical_cpus: split the processor into so many devices, to try "mirrored" anywhere.

    Raises:
        UserError: an unknown or refused name, a TF_CONFIG that cannot be, no TPU.
    """
    if backend.jax():
        from kerasdl.devices import jax

        return jax.choose(name, logical_cpus)
    check_name(name)
    if name == "auto" and worker():
        name = "multiworker"
    if name == "multiworker":
        if logical_cpus is not None:
            raise UserError("--logical-cpus is for strategy=mirrored; a worker has its processor as one device.")
        if worker() is None:
            raise UserError("strategy=multiworker needs TF_CONFIG; on one machine: kerasdl launch --workers 2 RECIPE")
        check_port()
        try:
            # Without a time limit: TensorFlow keeps a thread for each collective call until that is over, and dies of
            # them where batch normalisation makes fifty calls a step. Heartbeats notice a worker that is gone.
            made = tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise UserError("strategy=multiworker must come first in its process: TensorFlow has already computed "
                            f"something here ({str(error).splitlines()[0]}).") from None
        if threading.current_thread() is threading.main_thread():  # TensorFlow has put in a handler that swallows it
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        return made
    if logical_cpus is not None:
        _split_cpu(logical_cpus)
    if name == "auto":
        name = _automatic(logical_cpus is not None)
    if name == "tpu":
        return _tpu()
    if name == "mirrored":
        return mirrored(_devices(logical_cpus is not None))
    return tf.distribute.get_strategy()


def mirrored(devices: list[str]) -> tf.distribute.MirroredStrategy:
    """Replicas on these devices, "GPU:0" or "CPU:0" and so on, of one kind.

    On logical CPUs sums are taken on the first one: TensorFlow's collectives, its default there, let a process have one
    number of replicas only, and abort with the second.
    """
    return tf.distribute.MirroredStrategy(
        devices, tf.distribute.ReductionToOneDevice() if devices[0].startswith("CPU") else None)


def check(strategy: tf.distribute.Strategy, recipe: Recipe, workdir: str | Path | None) -> None:
    """Refuse what cannot be under this strategy.

    Raises:
        UserError: if batch is not a multiple of replicas x accumulate; the nearest that are, are named. If several
            workers have no common name for the run's folder.
    """
    replicas = strategy.num_replicas_in_sync
    parts = replicas * recipe.accumulate
    if recipe.batch % parts:
        below = recipe.batch // parts * parts
        near = f"{below} or {below + parts}" if below else f"{parts}"
        what = " x ".join([f"{replicas} replicas"] * (replicas > 1)
                          + [f"accumulate={recipe.accumulate}"] * (recipe.accumulate > 1))
        raise UserError(f"batch={recipe.batch} does not divide by {what}. Near it: {near}.")
    if describe(strategy) == "multiworker" and workdir is None:
        raise UserError("Several workers need one name for the run's folder. Give them all the same --workdir.")


def jit(strategy: tf.distribute.Strategy, wanted: Any) -> bool | None:
    """Whether to compile the step with XLA: as the recipe wants, but not under replicas, where TensorFlow cannot.

    Its replicas meet in a merge_call in the middle of the step, which XLA does not compile (InvalidArgumentError in
    TensorFlow 2.21). A TPU compiles by itself, and JAX always does.
    """
    if backend.jax():
        return None if wanted is None else True
    return wanted if describe(strategy) == "one" else False


def shared(strategy: tf.distribute.Strategy, make: Callable[[], tf.data.Dataset], among: Callable):
    """The elements that `make` makes; under replicas what `among`(elements, context) gives to those of a worker."""
    if not replicated(strategy):
        return make()
    return strategy.distribute_datasets_from_function(lambda context: among(make(), context))


def remarks(strategy: tf.distribute.Strategy, recipe: Recipe, network: keras.Model) -> list[str]:
    """What is not quite as the recipe asks, a line each."""
    lines = []
    if recipe.jit is False and jit(strategy, False):
        lines.append("jit is switched on: JAX compiles every step")
    if recipe.jit is True and not jit(strategy, recipe.jit):
        lines.append("jit is switched off: under replicas TensorFlow cannot compile the step")
    if recipe.accumulate > 1 and any(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers):
        lines.append(f"batch normalisation sees parts of {recipe.batch // recipe.accumulate} examples, because "
                    f"accumulate={recipe.accumulate}, and not the batch of {recipe.batch}")
    if tf.config.list_physical_devices("GPU") and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0" and (
            backend.jax() or tf.config.experimental.tensor_float_32_execution_enabled()):
        lines.append("float32 matrix products may be computed in TF32 on this GPU, which rounds to 10 bits. To switch "
                    "that off in cuBLAS and cuDNN, start with NVIDIA_TF32_OVERRIDE=0 in the environment")
    if recipe.precision == "mixed_bfloat16" and not native_bfloat16():
        lines.append("bfloat16 is emulated on this device, and slower than float32. To train in float32: "
                     "precision=float32")
    return lines


def is_chief(strategy: tf.distribute.Strategy | str) -> bool:
    """Whether this process writes the run under that strategy, or name of one: always, but for the later workers.

    TF_CONFIG alone does not tell: with strategy=one it is not heeded, nor is it on JAX.
    """
    if backend.jax():
        return True
    name = strategy if isinstance(strategy, str) else describe(strategy)
    return (_automatic() if name == "auto" else name) != "multiworker" or this_worker()[0] == 0


def _automatic(split: bool = False) -> str:
    if not split and worker():
        return "multiworker"
    if not split and (os.environ.get("PJRT_DEVICE") == "TPU" or tpu.attached()):
        return "tpu"
    return "mirrored" if len(_devices(split)) > 1 else "one"


def _devices(split: bool) -> list[str]:
    """The GPUs or, where there are none or the processor was `split`, the logical CPUs."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") and not split else "CPU"
    return [f"{kind}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if count < 1:
        raise UserError(f"logical_cpus is 1 or more. Received: {count}.")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        there = len(tf.config.list_logical_devices("CPU"))
        if there != count:
            raise UserError(f"The processor is already split into {there} in this process, and cannot become {count}. "
                            "Start a new process.") from None


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"No TPU answers ({reason}). See what is wrong with: kerasdl doctor. Or give --backend jax, or "
                        "another --strategy.") from None
