"""Put the faults of the list into the package, one by one, and see which tests fail.

Call: ``python -m tests.mutations.run --every 4 --out faults.csv``. Of each fault it
writes whether a test failed ("killed"), none did ("survived"), or the line is no longer
there ("gone"), and the first test that failed. Tests of the room of the fault run
first, then the golden set, then all others; of each only the quick ones, unless
``--slow`` is given. Lines that are in the file already are not run again.
"""

import argparse
import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .draw import LIST

COPIED = "sktwotower", "tests", "docs", "examples", "benchmarks"
FILES = "pyproject.toml", "setup.py", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"
# Tests of texts and of other programs, and long ones.
LEFT_OUT = "benchmarks", "clients", "docs", "examples", "fuzz"
# Seconds of a processor that the tests of a fault may take in one folder. Where several
# programs share it, they may last longer, up to so many times.
LIMIT = 200
MAX_WAIT = 6
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", re.MULTILINE)
TIMED_OUT = "timed out"


def copy_of(root, folder):
    """Copy what tests need to a folder."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "_build", "results")
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(root / name, folder / name)


def folders_of(fault, root):
    """Return the folders of tests of a fault, the most likely ones first."""
    room = fault["file"].split("/")[1].removeprefix("_")
    others = sorted(path.name for path in (root / "tests").iterdir() if path.is_dir())
    first = [room, "golden"]
    later = [name for name in others if name not in (*first, *LEFT_OUT)]
    groups = [[name] for name in first if name in others] + [later]
    return [[f"tests/{name}" for name in group] for group in groups]


def limit_processor_time():
    """End this process once it has computed for as long as it may."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))


def killer_of(folder, tests, marks):
    """Return the first test that fails in a copy, "" for none."""
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore"]
    command = [sys.executable, "-m", "pytest", *options, "-m", marks, *tests]
    variables = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=MAX_WAIT * LIMIT,
            preexec_fn=limit_processor_time,
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    if ran.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return TIMED_OUT
    if ran.returncode in (0, 5):  # 5: there is no test with these marks
        return ""
    found = FAILED.search(ran.stdout)
    return found.group(1) if found else f"exit status {ran.returncode}"


def outcome(fault, root, marks):
    """Return what becomes of a fault, and the test that sees it."""
    text = (
        (root / fault["file"]).read_text("utf-8")
        if (root / fault["file"]).exists()
        else ""
    )
    lines = text.splitlines()
    if lines.count(fault["line"]) != 1:
        return "gone", ""
    lines[lines.index(fault["line"])] = fault["faulty"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy_of(root, folder)
        (folder / fault["file"]).write_text("\n".join(lines) + "\n", "utf-8")
        for tests in folders_of(fault, root):
            killer = killer_of(folder, tests, marks)
            if killer == TIMED_OUT:
                return killer, ""
            if killer:
                return "killed", killer
    return "survived", ""


def main():
    """Run the faults that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="one of so many faults")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of faults")
    parser.add_argument("--root", type=Path, default=LIST.parents[2])
    parser.add_argument("--out", type=Path, default=Path("faults.csv"))
    parser.add_argument(
        "--slow",
        action="store_true",
        help="slow tests and those of neighbor graphs as well",
    )
    options = parser.parse_args()
    done = set()
    if options.out.exists():
        with open(options.out, newline="", encoding="utf-8") as file:
            done = {int(row[0]) for row in csv.reader(file)}
    marks = "not fuzz and not soak and not grid"
    if not options.slow:
        marks += " and not slow and not graph"
    faults = [json.loads(line) for line in LIST.read_text("utf-8").splitlines()]
    tests_of_now = killer_of(options.root, ["tests/metrics"], marks)
    if tests_of_now:
        raise SystemExit(f"Without any fault, {tests_of_now} fails.")
    for number in options.only or range(0, len(faults), options.every):
        if number in done:
            continue
        fault = faults[number]
        state, killer = outcome(fault, options.root, marks)
        with open(options.out, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([number, state, killer, fault["file"]])
        print(number, state, killer, fault["file"], fault["faulty"].strip(), flush=True)


if __name__ == "__main__":
    main()
