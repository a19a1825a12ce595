"""What nvidia-smi says of this machine's GPUs, without importing TensorFlow or JAX."""

import subprocess


def nvidia_smi(*fields: str) -> list[str]:
    """Return a line for each GPU with the values of some fields of nvidia-smi; none if there is no GPU or no driver."""
    try:
        listed = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
                                capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.splitlines() if listed.returncode == 0 else []
