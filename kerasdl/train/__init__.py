"""From a recipe to a run. The package can be called: `kerasdl.train("vit_digits")` is kerasdl.train.fit.train."""

import sys
from types import ModuleType


class _Callable(ModuleType):
    """A name cannot be both a package and a function of `kerasdl`, so the package answers the call."""

    def __call__(self, *args, **kwargs):
        from kerasdl.train.fit import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
