"""Where Keras computes with JAX: the devices, and the steps that are Keras' own objects on TensorFlow.

A step is one function of the whole batch, and the devices divide its arrays among them. So nothing of
kerasdl.devices.distribute_fixes is needed: gradients, clipping, batch normalisation and noise are those of one device.
"""

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata

import jax
import keras
import tensorflow as tf

from kerasdl.errors import UserError, nearest
from kerasdl.installation import tpu

NAMES = ("auto", "one", "mirrored", "tpu")


@dataclass(frozen=True)
class Devices:
    """What stands here for a tf.distribute.Strategy.

    Attributes:
        shared: how the batch is divided among several devices; None on one.
    """

    shared: keras.distribution.DataParallel | None = None

    @property
    def num_replicas_in_sync(self) -> int:
        """How many devices divide a batch."""
        return self.shared.device_mesh.devices.size if self.shared else 1

    def scope(self) -> AbstractContextManager:
        """Within it variables are made on the devices, and steps run on them."""
        return self.shared.scope() if self.shared else nullcontext()


def choose(name: str = "auto", logical_cpus: int | None = None) -> Devices:
    """The devices of that name.

    Args:
        name: "one"; "mirrored" is all devices of this machine; "tpu" the same where they are a TPU's; "auto" is
            "mirrored" where there are several.
        logical_cpus: split the processor into so many devices, to try "mirrored" anywhere.

    Raises:
        UserError: an unknown name, no TPU, or a processor that is already split otherwise.
    """
    if name == "multiworker":
        raise UserError("strategy=multiworker is for --backend tensorflow. With JAX one process drives the devices of "
                        "one machine: use strategy=mirrored.")
    if name not in NAMES:
        raise UserError(f"Unknown strategy {name!r}. {nearest(name, NAMES)}")
    if logical_cpus is not None:
        split_cpu(logical_cpus)
    leave_to_jax()
    if name != "tpu":
        leave_out_tpu()
    if logical_cpus is not None and (there := jax.default_backend()) != "cpu":
        raise UserError(f"--logical-cpus splits the processor, and JAX computes on a {there}. Set JAX_PLATFORMS=cpu.")
    if name == "tpu" and jax.default_backend() != "tpu":
        raise UserError(f"No TPU answers: JAX computes on {', '.join(accelerators()) or 'CPU'}. On a machine that has "
                        "one it needs jax[tpu]: pip install 'kerasdl[tpu]'. See: kerasdl doctor")
    devices = keras.distribution.list_devices()
    if name == "one" or len(devices) == 1:
        return Devices()
    return Devices(keras.distribution.DataParallel(devices=devices))


def split_cpu(count: int) -> None:
    """Let the processor be so many devices."""
    if count < 1:
        raise UserError(f"logical_cpus is 1 or more. Received: {count}.")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # JAX has begun to compute in this process
        there = jax.device_count("cpu")
        if there != count:
            raise UserError(f"The processor is already split into {there} in this process, and cannot become {count}. "
                            "Start a new process.") from None


def leave_to_jax() -> None:
    """TensorFlow, which reads the data, keeps off the GPUs; it would take their memory."""
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        pass  # TensorFlow has begun to compute in this process


def leave_out_tpu() -> None:
    """A processor without a TPU is not asked for one; libtpu would complain on stderr, and ask the network.

    Raises:
        UserError: if JAX has been told of devices that are not there.
    """
    plugins = importlib.util.find_spec("jax_plugins") or metadata.entry_points(group="jax_plugins")
    if not (tpu.attached() or plugins or jax.config.jax_platforms):
        jax.config.update("jax_platforms", "cpu")
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = jax.config.jax_platforms
        raise UserError(f"JAX finds no device{f' of JAX_PLATFORMS={asked}' * bool(asked)}: "
                        f"{' '.join(str(error).split()) or type(error).__name__}. Leave the variable out.") from None


def accelerators() -> list[str]:
    """The names of what JAX computes on, "TPU v5e" or a GPU's; none where it has but the processor."""
    leave_out_tpu()
    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
