"""Run a script of ``examples`` on little data, as `run_quick` does with each of them.

Input: the name of a script. Output: what it prints; the exit code is not 0 if it fails.
"""

import json
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from _common import shop
from _quick import begin

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SECONDS_TO_START = 120
CRASHED = 1, 2  # a traceback, and options that argparse does not know


def write_model(folder):
    """Fit on all but the last week of the shop; return the files of both."""
    from sktwotower import TwoTowerRecommender, io

    events = shop().data[["customer", "product", "time"]].sort_values("time")
    is_late = events["time"] >= events["time"].max() - pd.Timedelta(days=7)
    model = TwoTowerRecommender(random_state=0).fit(events[~is_late])
    io.dump(model, folder / "model.sktt")
    events[is_late].to_csv(folder / "day.csv", index=False)
    return folder / "model.sktt", folder / "day.csv"


def nightly(script, folder):
    """Teach a model a day; refusing the day is an answer, too."""
    code = subprocess.call([sys.executable, script, *write_model(folder)])
    print("exit code", code)
    assert code not in CRASHED


def answer(port, path, body=None):
    """Return the answer of the service, decoded."""
    data = None if body is None else json.dumps(body).encode()
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, head)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())


def service(script, folder):
    """Start the service, and ask for the list of a customer."""
    path, _ = write_model(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, script, path, "--port", str(port)])
    try:
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                print(answer(port, "/health"))
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.2)
        user = int(shop().data["customer"].iloc[0])
        print(answer(port, "/recommend", {"user": user}))
    finally:
        process.terminate()
        process.wait()


def adapter(module, name):
    """Return the function that fits a recommender with the index of an adapter."""

    def fit(script, folder):
        from sktwotower import TwoTowerRecommender

        sys.path.insert(0, str(EXAMPLES))
        index = getattr(import_module(module), name)()
        model = TwoTowerRecommender(
            user_id="customer", item_id="product", neighbors=index, random_state=0
        )
        model.fit(shop().data[["customer", "product"]])
        print(model.recommend(model.user_ids_[:2].tolist(), 3))

    return fit


def whole(script, folder):
    """Run a script as it is, on the small shop."""
    with patch("sktwotower.datasets.load_online_retail", shop):
        runpy.run_path(str(script), run_name="__main__")


# How each script is run, and the packages it needs.
RUNS = {
    "faiss_neighbors.py": (adapter("faiss_neighbors", "FaissNeighbors"), ["faiss"]),
    "hnswlib_neighbors.py": (
        adapter("hnswlib_neighbors", "HnswlibNeighbors"),
        ["hnswlib"],
    ),
    "nightly.py": (nightly, []),
    "search.py": (whole, []),
    "service.py": (service, ["fastapi", "uvicorn"]),
    "week_of_a_shop.py": (whole, ["faiss"]),
}


def main():
    name = sys.argv[1]
    run, needs = RUNS[name]
    if missing := [package for package in needs if find_spec(package) is None]:
        print(f"{name}: left out, {' and '.join(missing)} not installed")
        return
    begin()
    with tempfile.TemporaryDirectory() as folder:
        run(EXAMPLES / name, Path(folder))


if __name__ == "__main__":
    main()
