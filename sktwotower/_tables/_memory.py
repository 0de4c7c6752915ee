"""How much memory a process may use, and the error if a fit needs more.

Input: a number of bytes.
Output: a ``ValueError`` that says how many GB are needed and how many there are.
"""

import contextlib
import math
import os
import re
from pathlib import Path

# Bytes that any process may use: those of smaller needs are not looked up.
SMALL = 2**26
# The environment variable that says how much memory this process may use.
VARIABLE = "SKTWOTOWER_MEMORY"
UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def check_memory(needed, what, remedy, max_memory=math.inf):
    """Raise ``ValueError`` if ``what`` takes more bytes than there are.

    ``needed``: number of bytes. ``max_memory``: a limit of the user, in bytes.
    """
    if needed <= min(SMALL, max_memory):
        return
    allowed = memory_of_process()
    if needed <= min(allowed, max_memory):
        return
    limit = f"the {allowed / 1e9:,.1f} GB that this process may use"
    if max_memory < allowed:
        limit = f"max_memory={max_memory:g} bytes"
    raise ValueError(f"{what} take {needed / 1e9:,.1f} GB, more than {limit}. {remedy}")


def check_result(n, what, n_bytes):
    """Raise ``ValueError`` if ``n`` of something do not fit; each takes ``n_bytes``."""
    check_memory(n * n_bytes, f"{n:,} {what}", "Pass fewer at once.")


def memory_of_process():
    """Return the bytes that this process may use, swap left out; inf if not known.

    They are those of `VARIABLE`, such as "2GB" or "1.5 GiB", or else what the machine,
    limits of the process and its control groups allow.
    """
    text = os.environ.get(VARIABLE)
    if text:
        parts = re.fullmatch(r"(\d+\.?\d*) ?([A-Z]+)", text.strip().upper())
        size = 0
        if parts is not None:
            number, unit = parts.groups()
            size = float(number) * UNITS.get(unit, 0)
        if size < SMALL:
            raise ValueError(
                f"The environment variable {VARIABLE} must be a size of at least "
                f"64 MiB, such as '2GB' or '500MB'. Got {text!r}."
            )
        return size
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            limits.append(limit)
    return min([*limits, *_of_cgroups()])


def _of_cgroups(groups="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """Yield the limits of the control groups of this process, if there are any."""
    try:
        lines = Path(groups).read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names not in ("", "memory"):
            continue
        folder = Path(root, names)
        file = "memory.limit_in_bytes" if names else "memory.max"
        group = folder / path.lstrip("/")
        for outer_group in (group, *group.parents):
            if outer_group.is_relative_to(folder):
                with contextlib.suppress(OSError, ValueError):
                    # else: no such group here, or "max"
                    yield int((outer_group / file).read_text())
