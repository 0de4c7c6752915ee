"""Does every script of benchmarks and examples still run?

Call ``python benchmarks/run_quick.py [NAMES]``, some minutes of two cores; NAMES are
parts of names of scripts. Scripts of ``benchmarks`` run with ``--quick``: on small made
data and a part of the shipped shop, with one seed and one epoch, in a temporary folder.
Those of ``examples`` run on that part of the shop (`_quick_examples`). Two run at a
time. Rows of packages that are not installed are left out, with a line. Scripts of the
gallery are short; CI runs them as they are.

Failure: a script fails; or a file of ``benchmarks/results`` has changed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
# Ways of a script that its other options choose.
MORE = {
    "bench_ablations.py": [["--order"]],
    "bench_context.py": [["--variants"], ["--items", "--only", "online-retail"]],
    "bench_features.py": [["--importance"], ["--tuning"]],
    "bench_fit.py": [["--curves", "ml-100k"]],
    "bench_scale.py": [["--disk", "20000"]],
}


def scripts():
    """Return the names of the scripts of benchmarks that a person calls."""
    paths = sorted(FOLDER.glob("*.py"))
    own = Path(__file__).name
    return [path.name for path in paths if path.name[0] != "_" and path.name != own]


def calls():
    """Return what is called: texts and their commands."""
    found = {}
    for path in sorted((ROOT / "examples").glob("*.py")):
        command = [FOLDER / "_quick_examples.py", path.name]
        found[f"examples/{path.name}"] = command
    for name in scripts():
        for options in [[], *MORE.get(name, [])]:
            command = [FOLDER / name, "--quick", *options]
            found[" ".join([f"benchmarks/{name}", *command[1:]])] = command
    return found


def run(text, command):
    """Run a script; return whether it succeeds, and print what it said if not."""
    start = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    word = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(f"{time.perf_counter() - start:6.1f} s  {word}  {text}", flush=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", flush=True)
    return done.returncode == 0


def contents(folder):
    """Return the bytes of all files below a folder, by name."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names of scripts")
    names = parser.parse_args().names
    chosen = {
        text: command
        for text, command in calls().items()
        if not names or any(name in text for name in names)
    }
    before = contents(FOLDER / "results")
    with ThreadPoolExecutor(2) as pool:
        succeeded = list(pool.map(run, chosen, chosen.values()))
    assert contents(FOLDER / "results") == before, "--quick has changed results"
    assert all(succeeded), f"{succeeded.count(False)} of {len(succeeded)} calls fail"
    print(f"{len(succeeded)} calls succeed")


if __name__ == "__main__":
    main()
