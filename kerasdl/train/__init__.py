"""From a recipe to a run.

The package can be called: `kerasdl.train("vit_digits", epochs=3)` is kerasdl.train.fit.train, and
help(kerasdl.train.fit.train) describes its arguments.
"""

import inspect
import sys
from types import ModuleType


class _Callable(ModuleType):
    """A name cannot be both a package and a function of `kerasdl`, so the package answers the call."""

    @property
    def __signature__(self):
        from kerasdl.train.fit import train

        return inspect.signature(train)

    def __call__(self, *args, **kwargs):
        """Train a recipe and return its run: see kerasdl.train.fit.train."""
        if "tensorflow" not in sys.modules:  # which reads the flags once
            from kerasdl.installation import programs

            programs.keep()
        from kerasdl.train.fit import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
