"""The device that Keras computes on."""

import tensorflow as tf

from kerasdl.installation import backend
from kerasdl.installation.versions import cpu_flags


def device() -> str:
    """Return the name of the first GPU or TPU, or "CPU"."""
    return next(iter(accelerators()), "CPU")


def accelerators() -> list[str]:
    """The names of the GPUs or TPUs that Keras computes on; none where it has but the processor."""
    if backend.jax():
        from kerasdl.devices import jax

        return jax.accelerators()
    return [detail.get("device_name", "GPU") for detail in _details()]


def native_bfloat16() -> bool:
    """Whether the devices compute in bfloat16, and do not emulate it, which is slower than float32."""
    if backend.jax():
        return bool(accelerators()) or _on_processor()
    details = _details()
    return all(detail.get("compute_capability", (0,))[0] >= 8 for detail in details) if details else _on_processor()


def _details() -> list[dict]:
    return [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]


def _on_processor() -> bool:
    return not cpu_flags().isdisjoint({"amx_bf16", "avx512_bf16"})
