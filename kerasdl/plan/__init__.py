"""Plan a recipe for a TPU that is not attached: compile its training step, and read memory, time and cost from that.

`planner` asks `compiler_worker`, a process that builds the `step` (of `examples`; TensorFlow's through `hlo`), compiles
it (`aot`), and looks for the `max_batch`, or measures it (`cpu_check`). `estimate` does the arithmetic for `chips`.
"""

from kerasdl.plan.planner import plan

__all__ = ["plan"]
