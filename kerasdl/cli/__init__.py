"""The `kerasdl` command: one file for each verb, which imports what it needs inside its function.

So `kerasdl --help`, `list`, `show` and `results` start without TensorFlow. A user's mistake is one line on stderr and
exit code 2.
"""

import os
import sys

from kerasdl.cli import completion


def main() -> None:
    """Run the command, or answer a shell that asks what the Tab key should offer."""
    if os.environ.get(completion.ASKED, "") in ("complete_bash", "complete_zsh", "complete_fish"):
        completion.answer()
        return
    try:
        from kerasdl.cli.command import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


def __getattr__(name: str):
    if name == "app":
        from kerasdl.cli.command import app

        return app
    raise AttributeError(name)
