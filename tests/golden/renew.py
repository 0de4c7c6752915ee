"""Store the answers of today: ``python -m tests.golden.renew --because "reason"``.

What differs is printed in words. The reason becomes a line of CHANGELOG.md, unless
nothing differs.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # which libraries read when they are imported

import argparse  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

from . import stored  # noqa: E402
from .comparison import differences, shortened  # noqa: E402
from .subjects import NAMES, answers_now  # noqa: E402

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
HEADING = "### Answers that have changed"


def with_reason(text, reason):
    """Return the changelog with a line about why answers have changed.

    It is the last one of its own section, which ends that of the next release.
    """
    first = text.index("\n## ")
    end = text.find("\n## ", first + 1)
    end = len(text) if end < 0 else end
    release = text[:end].rstrip()
    if HEADING not in release:
        release += f"\n\n{HEADING}\n"
    line = f"\n- {reason.strip().removesuffix('.')}."
    return release + line + "\n" + text[end:]


def main(arguments=None):
    """Compute all answers, print what differs, and write them."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.renew")
    parser.add_argument("--because", required=True, help="why answers have changed")
    parser.add_argument("--into", help="another file, which needs no reason to be kept")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = Path(options.into or stored.PATH)
    before = stored.read(path)[0] if path.exists() else {}
    now = {name: answers_now(name) for name in NAMES}
    n_changed = 0
    for name in [*before, *(name for name in now if name not in before)]:
        if name not in now:
            print(f"model '{name}' is gone")
        elif name not in before:
            print(f"model '{name}' is new, with {len(now[name])} answers")
        else:
            lines = differences(name, before[name], now[name], exact=True)
            print(*shortened(lines), sep="\n", end="\n" if lines else "")
            n_changed += bool(lines)
    stored.write(now, path)
    if (n_changed or before.keys() - now.keys()) and options.into is None:
        text = with_reason(CHANGELOG.read_text(encoding="utf-8"), options.because)
        CHANGELOG.write_text(text, encoding="utf-8")
    print(f"{n_changed} of {len(now)} models answer otherwise.")


if __name__ == "__main__":
    main()
