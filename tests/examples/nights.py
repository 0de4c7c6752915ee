"""A week of `examples/nightly.py`, whose runs are killed and repeated.

Run as ``python -m tests.examples.nights FOLDER``: each run is stopped before each of
its effects on files, in turn. With a number, so many runs are killed at random times.
Everything is imported once; each run is a process of its own, forked from this one,
which computes nothing. Prints one JSON object: the number of stops, and what differed.
"""

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from sktwotower import io
from tests.builders import random_events, small

SCRIPT = Path(__file__).parents[2] / "examples" / "nightly.py"
# The events of each day, and the recall that may be lost: -2 refuses any model.
NIGHTS = [(9, 1), (8, -2), (7, 1), (6, -2), (5, -2), (4, 1), (3, 1)]
EFFECTS = {"open", "os.link", "os.rename", "os.remove", "fcntl.flock"}
KILLED = 137


def nightly():
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def later_days(folder, sizes):
    """Write days of purchases that the model does not know; return the files."""
    bought = random_events(n_users=14, n_items=10, seed=5, density=0.9)
    known = set(random_events().itertuples(index=False, name=None))
    is_new = [pair not in known for pair in bought.itertuples(index=False, name=None)]
    bought, files = bought[is_new].sample(frac=1, random_state=0), []
    for number, size in enumerate(sizes):
        files.append(Path(folder) / f"day{number}.csv")
        bought[:size].to_csv(files[-1], index=False)
        bought = bought[size:]
    return files


def forked(work):
    """Run a function in a process of its own; return the number of the process."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        code = work() or 0
    finally:
        os._exit(code)


def code_of(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Nights:
    """The states of a folder before and after each night that nothing disturbs."""

    def __init__(self, folder, n_nights):
        self.folder, self.main = folder, nightly().main
        self.days = later_days(folder, [size for size, _ in NIGHTS])
        before = folder / "before0"
        before.mkdir()
        model = before / "model.sktt"
        assert (
            code_of(forked(lambda: io.dump(small().fit(random_events()), model))) == 0
        )
        self.codes = [self.undisturbed(night) for night in range(n_nights)]

    def undisturbed(self, night):
        """Write what a night makes of the folder before it; return the exit code."""
        after = self.folder / f"before{night + 1}"
        shutil.copytree(self.folder / f"before{night}", after)
        return code_of(self.start(night, after))

    def start(self, night, folder, stop=None):
        """Start one night; it ends before its effect of number ``stop``."""
        limit = NIGHTS[night][1]
        path, day = folder / "model.sktt", self.days[night]

        def work():
            sys.argv = ["nightly.py", str(path), str(day), "--max-loss", str(limit)]
            time.time = lambda: 0.0  # files hold how long epochs took
            if stop is not None:
                stop_before(stop, str(self.folder))
            return self.main()

        return forked(work)

    def disturbed(self, night, disturb):
        """Disturb a night, repeat it, and return how it ended and what is wrong.

        ``disturb``: is called with the night and the folder; returns an exit code.
        """
        folder = self.folder / "disturbed"
        shutil.copytree(self.folder / f"before{night}", folder)
        code = disturb(night, folder)
        again = code_of(self.start(night, folder))
        same = contents(folder) == contents(self.folder / f"before{night + 1}")
        shutil.rmtree(folder)
        return code, [] if same and again == self.codes[night] else [(night, again)]


def contents(folder):
    """Return the bytes of all files of a folder, by name."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def stop_before(number, folder):
    """End this process before its effect of this number on files of a folder.

    Of reads only the first one counts.
    """
    left, has_read, sync = number, False, os.fsync

    def count(reads=False):
        nonlocal left, has_read
        if reads and has_read:
            return
        if left == 0:
            os._exit(KILLED)
        left, has_read = left - 1, has_read or reads

    def seen(event, args):
        if event in EFFECTS and (event == "fcntl.flock" or folder in str(args[0])):
            count(event == "open" and args[2] & os.O_ACCMODE == os.O_RDONLY)

    os.fsync = lambda handle: count() or sync(handle)
    sys.addaudithook(seen)


def at_each_effect(folder):
    """Return the nights, the number of stops and what differed, for both exit codes."""
    nights, n_stops, wrong = Nights(folder, 3), 0, []
    for night in (1, 2):
        for stop in range(1000):

            def disturb(night, folder, stop=stop):
                return code_of(nights.start(night, folder, stop))

            code, differs = nights.disturbed(night, disturb)
            wrong += [(stop, *each) for each in differs]
            if code != KILLED:
                break
            n_stops += 1
    return nights, n_stops, wrong


def at_random(folder, n_kills):
    """Return the nights, the number of runs that were killed and what differed."""
    nights, n_killed, wrong = Nights(folder, len(NIGHTS)), 0, []
    rng = np.random.default_rng(0)

    def disturb(night, folder):
        process = nights.start(night, folder)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(process, signal.SIGKILL)
        return code_of(process)

    for _ in range(n_kills):
        code, differs = nights.disturbed(int(rng.integers(len(NIGHTS))), disturb)
        n_killed += code == -signal.SIGKILL
        wrong += differs
    return nights, n_killed, wrong


if __name__ == "__main__":
    given = Path(sys.argv[1]), *map(int, sys.argv[2:])
    week, stops, differing = (at_random if len(given) > 1 else at_each_effect)(*given)
    print(json.dumps({"codes": week.codes, "stops": stops, "wrong": differing}))
