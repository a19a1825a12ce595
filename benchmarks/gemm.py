"""How fast this machine multiplies matrices, with one library: python -m benchmarks.gemm tensorflow|torch|numpy.

Prints {precision: {n: GFLOP/s}}, of each size the best of several. Two threads, as everywhere here.
"""

import json
import os
import sys
import time

from benchmarks.rows import DTYPES, precisions

SIZES = (1024, 2048, 4096)
REPEATS = 5


def best(multiply, n: int) -> float:
    """GFLOP/s of a product of two n x n matrices."""
    multiply()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - began)
    return 2e-9 * n**3 / min(seconds)


def tensorflow(n: int, dtype: str):
    import tensorflow as tf

    a, b = (tf.cast(tf.random.normal((n, n)), dtype) for _ in range(2))
    product = tf.function(tf.matmul)
    return lambda: product(a, b)[0, 0].numpy()


def torch(n: int, dtype: str):
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    a, b = (torch.randn(n, n).to(getattr(torch, dtype)) for _ in range(2))
    return lambda: torch.mm(a, b)


def numpy(n: int, dtype: str):
    import numpy as np

    a, b = (np.random.default_rng(0).normal(size=(n, n)).astype(dtype) for _ in range(2))
    return lambda: a @ b


def main() -> None:
    library = {"tensorflow": tensorflow, "torch": torch, "numpy": numpy}[sys.argv[1]]
    dtypes = [DTYPES[precision] for precision in precisions()][:1 if sys.argv[1] == "numpy" else None]
    print("\n" + json.dumps({dtype: {n: round(best(library(n, dtype), n), 1) for n in SIZES} for dtype in dtypes}))


if __name__ == "__main__":
    main()
