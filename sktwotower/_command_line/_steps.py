"""Lines that say what is being done, for how long, and what a signal has left.

Input: text; signals such as that of Ctrl-C.
Output: printed text, in color where somebody can see it.
"""

import os
import signal
import sys
import time
from contextlib import contextmanager

# Exit status of a process that Ctrl-C has ended, or that nobody reads any more.
STOPPED = 128 + signal.SIGINT
UNREAD = 128 + 13
# Codes of terminals.
BOLD = "1"
RED = "31"
GREEN = "32"
YELLOW = "33"


def styled(text, style) -> str:
    """Return text in bold or in a color, on a terminal or if FORCE_COLOR is set.

    Not if NO_COLOR is set.
    """
    wanted = _is_terminal() or os.environ.get("FORCE_COLOR")
    if os.environ.get("NO_COLOR") or not wanted:
        return text
    return f"\033[{style}m{text}\033[0m"


def _is_terminal():
    """Return whether a person reads what is printed, on a terminal with colors."""
    if os.environ.get("TERM") == "dumb" or not sys.stdout:
        return False
    return sys.stdout.isatty()


@contextmanager
def step(what):
    """Print what the block does before it begins, and its seconds when it has ended."""
    print(f"{what} ...", end="", flush=True)
    started = time.perf_counter()
    try:
        yield
    except BaseException:
        print()
        raise
    seconds = f"{time.perf_counter() - started:.1f} s"
    text = f" {seconds}"
    if _is_terminal():  # where a bar of progress may have taken the line
        text = f"\r{what}: {seconds}"
    print(text, flush=True)


@contextmanager
def stopped_by_signal(saved):
    """End the block with ``SystemExit`` at Ctrl-C, and print what was ``saved``.

    Training takes a ``KeyboardInterrupt`` as its own end, after which all would go on.
    Background jobs ignore the signal until a handler is set.
    """
    before = signal.signal(signal.SIGINT, lambda *_: sys.exit(STOPPED))
    try:
        yield
    except SystemExit as end:  # of --help as well
        if end.code == STOPPED:
            left = "Nothing was saved"
            if saved:
                left = f"Saved before: {', '.join(saved)}"
            print(f"\nStopped. {left}.")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        print(end="", flush=True)  # raises if nobody reads it
