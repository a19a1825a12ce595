"""Supervised contrast: Khosla et al. 2020, "Supervised Contrastive Learning", arXiv:2004.11362.

As kerasdl.objectives.contrast, but that the views of all images of one class belong together: the labelled twin.
"""

from typing import Any

from keras import ops

from kerasdl.objectives.contrast import Contrast


class SupervisedContrast(Contrast):
    """Learn which views are of one class. Labels are read."""

    target = "class"

    def groups(self, y: Any, places: Any) -> Any:
        return ops.cast(ops.reshape(y, (-1,)), "int32")
