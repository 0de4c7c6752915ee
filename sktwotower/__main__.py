"""The command line: ``sktwotower``, or ``python -m sktwotower``.

Input: the shipped purchases, or a person's own table of events.
Output: a printed report, recommendations, a saved model, a picture and a page.
"""

import os
import sys

from sktwotower._command_line._steps import UNREAD, stopped_by_signal


def main(arguments=None) -> int:
    """Run the command line and return the exit status; Ctrl-C raises ``SystemExit``."""
    saved = []
    try:
        with stopped_by_signal(saved):
            from sktwotower._command_line._run import run  # takes seconds to import

            run(arguments, saved)
    except BrokenPipeError:  # Python would write once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
