"""Signals that end training between two batches.

Input: Ctrl-C or SIGTERM, which may come at any moment.
Output: a KeyboardInterrupt after a batch or an epoch, when the weights are consistent.
"""

import signal
import threading

from skorch.callbacks import Callback

__all__ = ["Interruption"]

# Exit status of a process that SIGTERM has ended.
TERMINATED = 128 + signal.SIGTERM


class Interruption(Callback):
    """End training after the batch in which a signal comes.

    It is a skorch callback and a context: handlers of signals are set at its start, and
    put back at its end. Only the main thread may set them: in others it does nothing. A
    handler of the caller for SIGINT stays. A second Ctrl-C does not wait for the batch.

    Parameters
    ----------
    terminable : bool
        Whether SIGTERM ends training, too.

    Attributes
    ----------
    received : int or None
        The signal that has come.
    exchange : Exchange or None
        Several processes end training after the same batch, of which it knows.
    """

    def __init__(self, terminable):
        self.terminable = terminable
        self.received = None
        self.exchange = None
        self.is_raised = False
        self.before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._handle(signal.SIGINT)
            handler = signal.getsignal(signal.SIGTERM)
            if self.terminable and handler not in (signal.SIG_IGN, None):
                self._handle(signal.SIGTERM)
        return self

    def __exit__(self, kind, error, trace):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.received is not None and not self.is_raised and error is None:
            # It came after the last batch: what it means is not for training to say.
            signal.raise_signal(self.received)

    def _handle(self, number):
        self.before[number] = signal.signal(number, self._receive)

    def _receive(self, number, frame):
        if self.received == number == signal.SIGINT:
            self.is_raised = True
            raise KeyboardInterrupt
        self.received = number

    def on_batch_end(self, net, **kwargs):
        """Raise KeyboardInterrupt if a signal has come."""
        stops = self.received is not None
        if self.exchange is not None:
            stops = self.exchange.stops
        if stops:
            self.is_raised = True
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        """Raise KeyboardInterrupt if a signal has come."""
        self.on_batch_end(net)

    def end_process(self):
        """Go on with a SIGTERM that has ended training, after the block.

        A handler of the caller is called. Without one the process ends, with the status
        143 and after its `finally` blocks.
        """
        if self.received == signal.SIGTERM and self.is_raised:
            if self.before[signal.SIGTERM] is signal.SIG_DFL:
                raise SystemExit(TERMINATED)
            signal.raise_signal(signal.SIGTERM)
