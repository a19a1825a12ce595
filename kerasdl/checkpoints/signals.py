"""SIGTERM and Ctrl-C, which ask a training to save its state and stop."""

import signal
import threading


class Stopped(Exception):
    """The training was asked to stop, by SIGTERM, Ctrl-C or `stop_after`, and has saved its state, if it could.

    Attributes:
        signal: the signal's number, None after `stop_after`. The exit code that schedulers know is 128 + signal.
    """

    def __init__(self, signal: int | None, step: int, saved: bool):
        super().__init__(f"Stopped after step {step}{'' if saved else ', which could not be saved'}.")
        self.signal = signal


class StopSignal:
    """Note SIGTERM and Ctrl-C inside the block; a second Ctrl-C interrupts as ever.

    Attributes:
        number: of the signal that came.
        saved_step: the last step of the training once it is saved: from then on a signal stops at once.
    """

    number: int | None = None
    saved_step: int | None = None

    def __enter__(self) -> "StopSignal":
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        if self.number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if self.saved_step is not None:
            raise Stopped(number, self.saved_step, True)
