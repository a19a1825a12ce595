"""Plan a recipe for a TPU that is not attached: compile its training step, and read memory, time and cost from that.

`planner` asks `compiler_worker`, a process that builds the `step` (with the shapes of `examples` and, on TensorFlow,
through `hlo`), compiles it (`aot`), looks for the `max_batch`, or measures it here (`cpu_check`). `estimate` does the
arithmetic with the data sheet in `chips`, and `report` prints.
"""

from kerasdl.plan.planner import plan

__all__ = ["plan"]
