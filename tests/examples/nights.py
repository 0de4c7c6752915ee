"""A week of `examples/nightly.py`, whose runs are killed and repeated.

Run as ``python -m tests.examples.nights FOLDER``: what a run has left before each of
its effects on files is repeated. With a number, so many runs are killed at random
times.
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
# The number of events of each day, options and the exit code. With a --max-loss of -2
# any model is worse. Without --accept such a day is too small, and waits for the next.
GOOD, WORSE, SMALL = "--accept --max-loss 1", "--accept --max-loss -2", "--max-loss 1"
NIGHTS = [
    (9, GOOD, 0),
    (8, WORSE, 3),
    (7, GOOD, 0),
    (6, SMALL, 5),
    (5, GOOD, 0),
    (4, WORSE, 3),
    (3, SMALL, 5),
]
STOPPED = range(5)  # nights that are stopped before each of their effects
EFFECTS = {"open", "os.link", "os.rename", "os.remove", "fcntl.flock"}


def nightly():
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_short_memory():
    """Return the script as a module that holds two days back."""
    module = nightly()
    module.MAX_HELD_BACK = 2
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
        self.folder, self.main = folder, with_short_memory().main
        self.days = later_days(folder, [size for size, _, _ in NIGHTS])
        self.wrong = {}
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

    def start(self, night, folder, at_effect=None):
        """Start one night; a function may be called before each effect on files."""
        options = NIGHTS[night][1].split()
        path, day = folder / "model.sktt", self.days[night]

        def work():
            sys.argv = ["nightly.py", str(path), str(day), *options]
            time.time = lambda: 0.0  # files hold how long epochs took
            if at_effect is not None:
                before_effects(at_effect, str(self.folder))
            return self.main()

        return forked(work)

    def copy_of(self, night):
        """Return a copy of the folder as it is before a night."""
        folder = self.folder / "disturbed"
        shutil.copytree(self.folder / f"before{night}", folder)
        return folder

    def repeated(self, night, folder):
        """Repeat a night in a folder that was left, remove it, return what is wrong.

        Equal files that are one in the same places are repeated once.
        """
        links = {(each.name, each.stat().st_nlink) for each in folder.iterdir()}
        left = night, frozenset(links), frozenset(contents(folder).items())
        if left not in self.wrong:
            again = code_of(self.start(night, folder))
            same = contents(folder) == contents(self.folder / f"before{night + 1}")
            is_right = same and again == self.codes[night]
            self.wrong[left] = [] if is_right else [(night, again)]
        shutil.rmtree(folder)
        return self.wrong[left]


def contents(folder):
    """Return the bytes of all files of a folder, by name."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def copied(source, target):
    """Copy a folder; files that are one by a link stay one."""
    first = {}

    def copy(one, other):
        known = first.setdefault(os.stat(one).st_ino, other)
        shutil.copy2(one, other) if known == other else os.link(known, other)

    shutil.copytree(source, target, copy_function=copy)


def before_effects(call, folder):
    """Call a function before each effect of this process on files of a folder.

    Of reads only the first one counts.
    """
    is_called, has_read, sync = False, False, os.fsync

    def effect(reads=False):
        nonlocal is_called, has_read
        if is_called or (reads and has_read):
            return
        is_called, has_read = True, has_read or reads
        call()
        is_called = False

    def seen(event, args):
        if event in EFFECTS and (event == "fcntl.flock" or folder in str(args[0])):
            effect(event == "open" and args[2] & os.O_ACCMODE == os.O_RDONLY)

    os.fsync = lambda handle: effect() or sync(handle)
    sys.addaudithook(seen)


def at_each_effect(folder):
    """Return the nights, the number of stops and what differed, for all exit codes.

    A run that is stopped before an effect leaves what is in the folder then.
    """
    nights, n_stops, wrong = Nights(folder, len(STOPPED)), 0, []
    for night in STOPPED:
        disturbed, stops = nights.copy_of(night), folder / f"stops{night}"
        stops.mkdir()

        def stop(disturbed=disturbed, stops=stops):
            copied(disturbed, stops / f"{len(os.listdir(stops)):03}")

        code = code_of(nights.start(night, disturbed, stop))
        assert code == nights.codes[night]
        shutil.rmtree(disturbed)
        for left in sorted(stops.iterdir()):
            left.rename(disturbed)
            wrong += [(left.name, *each) for each in nights.repeated(night, disturbed)]
            n_stops += 1
    return nights, n_stops, wrong


def at_random(folder, n_kills):
    """Return the nights, the number of runs that were killed and what differed."""
    nights, n_killed, wrong = Nights(folder, len(NIGHTS)), 0, []
    rng = np.random.default_rng(0)
    for _ in range(n_kills):
        night = int(rng.integers(len(NIGHTS)))
        disturbed = nights.copy_of(night)
        process = nights.start(night, disturbed)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(process, signal.SIGKILL)
        n_killed += code_of(process) == -signal.SIGKILL
        wrong += nights.repeated(night, disturbed)
    return nights, n_killed, wrong


if __name__ == "__main__":
    given = Path(sys.argv[1]), *map(int, sys.argv[2:])
    week, stops, differing = (at_random if len(given) > 1 else at_each_effect)(*given)
    print(json.dumps({"codes": week.codes, "stops": stops, "wrong": differing}))
