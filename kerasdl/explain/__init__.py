"""What a model looks at, and how far the answer can be trusted.

The package can be called: `kerasdl.explain(model, x, "grad_cam")` is kerasdl.explain.explanation.explain.
"""

import sys
from types import ModuleType


class _Callable(ModuleType):
    """A name cannot be both a package and a function of `kerasdl`, so the package answers the call."""

    def __call__(self, *args, **kwargs):
        from kerasdl.explain.explanation import explain

        return explain(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
