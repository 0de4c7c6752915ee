"""The nightly job of the examples: what it learns, publishes, logs and returns."""

import fcntl
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktwotower import io
from tests.builders import chain, ordered, random_events, small

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "nightly.py"


@pytest.fixture(scope="module")
def nightly():
    """Return the script as a module, which saves the starts of processes."""
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(nightly, caplog, monkeypatch):
    """Return a function that returns the exit code and the log lines of one night."""

    def run(*arguments):
        caplog.clear()
        caplog.set_level("INFO")  # of all, as the script does
        monkeypatch.setattr(sys, "argv", ["nightly.py", *map(str, arguments)])
        return nightly.main(), caplog.text

    return run


def new_day():
    """Return events of one day, of known users and of two new ones."""
    day = random_events(n_users=14, n_items=9, seed=3)
    return day.sample(frac=1, random_state=0)


@pytest.fixture
def path(tmp_path):
    io.dump(small().fit(random_events()), tmp_path / "model.sktt")
    return tmp_path / "model.sktt"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_day_is_learnt_and_published(path, run, tmp_path, form):
    day, old = tmp_path / f"day.{form}", path.read_bytes()
    if form == "csv":
        new_day().to_csv(day, index=False)
    else:
        new_day().to_parquet(day)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 0, log
    assert "partial_fit took" in log and "recall@20 of" in log and "published" in log
    model = io.load(path)
    assert {"u12", "u13"} <= set(model.user_ids_)
    chosen = set(new_day().query("user == 'u13'")["item"])
    assert set(model.seen_items(["u13"])["item"]) == chosen
    assert path.with_name("model.sktt.previous").read_bytes() == old
    # a scheduler that runs it again changes nothing
    written = path.read_bytes()
    code, log = run(path, day, "--max-loss", "1")
    assert code == 0 and "learnt before" in log
    assert path.read_bytes() == written
    assert not list(tmp_path.glob("*.new")) and not list(tmp_path.glob("*.part"))


def test_ids_that_are_words_for_a_gap(path, run, tmp_path):
    day = new_day().replace({"u12": "NA", "u13": "null", "i1": "None"})
    day.to_csv(tmp_path / "day.csv", index=False)
    code, log = run(path, tmp_path / "day.csv", "--max-loss", "1")
    assert code == 0, log
    model = io.load(path)
    assert {"NA", "null"} <= set(model.user_ids_) and "None" in model.item_ids_


def test_a_model_that_is_worse_is_not_published(path, run, tmp_path):
    old = path.read_bytes()
    new_day().to_csv(tmp_path / "day.csv", index=False)
    code, log = run(path, tmp_path / "day.csv", "--max-loss", "-2")
    assert code == 3 and "the old one stays" in log
    assert path.read_bytes() == old


def test_times_are_read_and_ordered(run, tmp_path):
    events = chain()
    events["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(events["when"], "h")
    path, day = tmp_path / "model.sktt", tmp_path / "day.csv"
    io.dump(ordered(second_share=0).fit(events), path)
    events["when"] += pd.Timedelta(90, "D")
    events["item"] = np.roll(events["item"], 5)
    events.iloc[::-1].to_csv(day, index=False)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 0, log
    assert f"on the last {len(events) // 10} events" in log
    assert io.load(path).history_kind_ == "recent"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("user,item\n", 0, "holds no events"),
        ("user,thing\nu1,i1\n", 65, "has no column 'item'"),
        ("user,item\nu1,\nu2,i1\n", 65, "contains NaN"),
        ("user,item\nu1,i1\n", 65, "One event is too few"),
        ("", 65, "cannot be learnt"),
        (None, 66, "does not exist"),
    ],
    ids=["empty day", "column", "gap", "one event", "empty file", "no file"],
)
def test_days_that_cannot_be_learnt(path, run, tmp_path, text, code, message):
    old, day = path.read_bytes(), tmp_path / "day.csv"
    if text is not None:
        day.write_text(text)
    returned, log = run(path, day)
    assert returned == code and message in log
    assert path.read_bytes() == old


def test_a_damaged_model_is_an_error(path, run, tmp_path):
    path.write_bytes(path.read_bytes()[:1000])
    new_day().to_csv(tmp_path / "day.csv", index=False)
    with pytest.raises(ValueError, match="not a valid zip file"):
        run(path, tmp_path / "day.csv")


def test_a_scheduler_that_starts_it_twice_gets_an_exit_code_and_a_line(path, tmp_path):
    command = [sys.executable, SCRIPT, path, tmp_path / "day.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (75, "")
    assert "another run" in done.stderr and len(done.stderr.splitlines()) == 1
