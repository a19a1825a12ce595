"""The `kerasdl` command: one file for each verb, which imports what it needs inside its function.

So `kerasdl --help`, `list`, `show` and `results` start without TensorFlow. A user's mistake is one line on stderr and
exit code 2.
"""

from kerasdl.cli.command import app, main

__all__ = ["app", "main"]
