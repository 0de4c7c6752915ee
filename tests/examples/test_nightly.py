"""The nightly job of the examples: what it learns, publishes, logs and returns."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktwotower import PopularityRecommender, io
from sktwotower.towers import RecentHistory
from tests.builders import chain, ordered, random_events, small
from tests.examples import nights
from tests.examples.nights import SCRIPT, later_days

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CODES = [code for _, _, code in nights.NIGHTS]


@pytest.fixture(scope="module")
def nightly():
    """Return the script as a module, which saves the starts of processes."""
    return nights.nightly()


@pytest.fixture
def judged(nightly, caplog):
    """Return a function that returns the exit code and the log lines of one night."""
    logger = logging.getLogger("sktwotower")
    level, given = logger.level, sys.argv

    def judged(*arguments):
        caplog.clear()
        caplog.set_level("INFO")  # of all, as the script does
        sys.argv = ["nightly.py", *map(str, arguments)]
        return nightly.main(), caplog.text

    yield judged
    logger.setLevel(level)
    sys.argv = given


@pytest.fixture
def run(judged):
    """Return a function like `judged`, of a night that accepts days of a few events."""
    return lambda *arguments: judged(*arguments, "--accept")


def new_day():
    """Return events of one day, of known users and of two new ones."""
    day = random_events(n_users=14, n_items=9, seed=3)
    return day.sample(frac=1, random_state=0)


@pytest.fixture
def path(tmp_path):
    io.dump(small().fit(random_events()), tmp_path / "model.sktt")
    return tmp_path / "model.sktt"


@pytest.mark.parametrize(
    "form", ["csv", pytest.param("parquet", marks=pytest.mark.fuzz)]
)
def test_a_day_is_learnt_and_published(path, run, tmp_path, form):
    day, old = tmp_path / f"day.{form}", path.read_bytes()
    if form == "csv":
        new_day().to_csv(day, index=False)
    else:
        new_day().to_parquet(day)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 0, log
    assert "recall@20 on the day, " in log and "published" in log
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


@pytest.mark.fuzz
def test_ids_that_are_words_for_a_gap(path, run, tmp_path):
    day = new_day().replace({"u12": "NA", "u13": "null", "i1": "None"})
    day.to_csv(tmp_path / "day.csv", index=False)
    code, log = run(path, tmp_path / "day.csv", "--max-loss", "1")
    assert code == 0, log
    model = io.load(path)
    assert {"NA", "null"} <= set(model.user_ids_) and "None" in model.item_ids_


def recommended(path, file):
    """Return the purchases of a day that the published model recommends again."""
    day = pd.read_csv(file)
    found = io.load(path).recommend(day["user"].unique(), n_neighbors=99)
    return found[["user", "item"]].merge(day).to_numpy().tolist()


def kept(path):
    return sorted(each.name for each in path.parent.glob("*refused*"))


def test_a_day_that_makes_it_worse_is_known_and_learnt_later(path, run, tmp_path):
    old, vectors = path.read_bytes(), io.load(path).item_embeddings_
    day, second, _ = later_days(tmp_path, [9, 8, 7])
    assert recommended(path, day)
    code, log = run(path, day, "--max-loss", "-2")
    assert code == 3 and "the old one stays" in log
    model, written = io.load(path), path.read_bytes()
    np.testing.assert_array_equal(model.item_embeddings_[:9], vectors)
    assert model.lr == 0.01 and not recommended(path, day)
    assert path.with_name("model.sktt.previous").read_bytes() == old
    assert kept(path) == ["model.sktt.refused.000001.csv"]
    # a scheduler that runs it again changes nothing
    code, log = run(path, day, "--max-loss", "1")
    assert code == 3 and "will be offered again" in log
    assert path.read_bytes() == written and len(kept(path)) == 1
    # the next night learns both, the old one first
    assert run(path, second, "--max-loss", "1")[0] == 0
    model.partial_fit(pd.read_csv(day)).partial_fit(pd.read_csv(second))
    found, written = io.load(path), path.read_bytes()
    np.testing.assert_array_equal(found.item_embeddings_, model.item_embeddings_)
    for each in (day, second):
        code, log = run(path, each)
        assert code == 0 and "learnt before" in log
    assert path.read_bytes() == written and not kept(path)


def test_forgotten_users_are_not_learnt_again(path, run, tmp_path):
    days = later_days(tmp_path, [20, 12, 6])
    assert run(path, days[0], "--max-loss", "-2")[0] == 3
    assert {"u1", "u13"} <= set(io.load(path).user_ids_)
    io.dump(io.load(path).forget_users(["u1", "u13"]), path)
    forgotten = path.with_name("model.sktt.forgotten")
    forgotten.write_text("u1\nu13\n")
    # refused before and after, both days are offered again
    assert run(path, days[1], "--max-loss", "-2")[0] == 3
    assert "u1" in set(pd.read_csv(days[1])["user"]) and len(kept(path)) == 2
    assert run(path, days[2], "--max-loss", "1")[0] == 0
    learnt = {*random_events()["user"], *pd.concat(map(pd.read_csv, days))["user"]}
    assert set(io.load(path).user_ids_) == learnt - {"u1", "u13"} and not kept(path)
    forgotten.write_text("\n".join(learnt))
    code, log = run(path, days[2])
    assert code == 0 and "holds no events" in log


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "text", [b"13\r\n", b"\xef\xbb\xbf13", b" 13 \n", b"0\n13"], ids=str
)
@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_ids_of_the_forgotten_are_read_as_written(run, tmp_path, text, kind):
    path, day = tmp_path / "model.sktt", tmp_path / "day.parquet"

    def numbered(events):
        return events.assign(user=events["user"].str[1:].astype("int64"))

    io.dump(small().fit(numbered(random_events())), path)
    numbered(new_day()).astype({"user": kind}).to_parquet(day)
    path.with_name("model.sktt.forgotten").write_bytes(text)
    assert run(path, day, "--max-loss", "1")[0] == 0
    users = set(io.load(path).user_ids_)
    assert 12 in users and 13 not in users


@pytest.mark.fuzz
def test_a_list_of_the_forgotten_that_cannot_be_read_is_named(path, run, tmp_path):
    bad, day, _ = later_days(tmp_path, [9, 8, 7])
    assert run(path, bad, "--max-loss", "-2")[0] == 3
    written, kept_before = path.read_bytes(), kept(path)
    path.with_name("model.sktt.forgotten").write_bytes("ü1".encode("utf-16"))
    code, log = run(path, day, "--max-loss", "1")
    assert code == 65 and "model.sktt.forgotten must be text in UTF-8" in log
    assert path.read_bytes() == written and kept(path) == kept_before


@pytest.mark.parametrize(
    "damage",
    [b"\xff\0"]
    + [
        pytest.param(damage, marks=pytest.mark.fuzz)
        for damage in (b"", b"user,thing\nu1,i1\n", None)
    ],
)
def test_a_damaged_file_of_a_refused_day_is_named(path, run, tmp_path, damage):
    bad, day, _ = later_days(tmp_path, [9, 8, 7])
    assert run(path, bad, "--max-loss", "-2")[0] == 3
    written, file = path.read_bytes(), path.with_name(kept(path)[0])
    file.unlink()
    if damage is None:
        file.mkdir()
    else:
        file.write_bytes(damage)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 74 and "is damaged" in log and str(file) in log
    assert path.read_bytes() == written
    file.rmdir() if damage is None else file.unlink()
    assert run(path, day, "--max-loss", "1")[0] == 0


def test_times_are_read_and_ordered(run, tmp_path):
    events = chain()
    events["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(events["when"], "h")
    path, day = tmp_path / "model.sktt", tmp_path / "day.csv"
    io.dump(ordered(history=RecentHistory(second_share=0)).fit(events), path)
    events["when"] += pd.Timedelta(90, "D")
    events["item"] = np.roll(events["item"], 5)
    events.iloc[::-1].to_csv(day, index=False)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 0, log
    assert f"on the day, {events['user'].nunique()} users" in log
    assert io.load(path).history_kind_ == "recent"
    # a wrong date is in the last tenth, which the comparison does not learn
    written = path.read_bytes()
    events.loc[events.index[0], "when"] = pd.Timestamp("2199-01-01")
    events.to_csv(day, index=False)
    code, log = run(path, day, "--max-loss", "1")
    assert code == 65 and "event of 2199-01-01 00:00:00, a time to come" in log
    assert path.read_bytes() == written


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("user,item\n", 0, "holds no events"),
        ("user,thing\nu1,i1\n", 65, "has no column 'item'"),
        ("user,item\nu1,\nu2,i1\n", 65, "contains NaN"),
        ("user,item\nu1,i1\n", 5, "too small: 1 users, 20 are needed"),
        ("", 65, "cannot be learnt"),
        (None, 66, "does not exist"),
    ],
    ids=["empty day", "column", "gap", "one event", "empty file", "no file"],
)
def test_days_that_cannot_be_learnt(path, judged, tmp_path, text, code, message):
    old, day = path.read_bytes(), tmp_path / "day.csv"
    if text is not None:
        day.write_text(text)
    returned, log = judged(path, day)
    assert returned == code and message in log
    assert path.read_bytes() == old


def test_a_damaged_model_is_an_error(path, run, tmp_path):
    path.write_bytes(path.read_bytes()[:1000])
    new_day().to_csv(tmp_path / "day.csv", index=False)
    code, log = run(path, tmp_path / "day.csv")
    assert code == 74 and "not a valid zip file" in log and "model.sktt --back" in log


@pytest.mark.parametrize(
    ("model", "X"),
    [(PopularityRecommender(), random_events()), (small(), random_events().to_numpy())],
    ids=["another recommender", "no column names"],
)
def test_models_that_it_cannot_teach_are_named(run, tmp_path, model, X):
    path, day = tmp_path / "model.sktt", tmp_path / "day.csv"
    io.dump(model.fit(X), path)
    new_day().to_csv(day, index=False)
    code, log = run(path, day)
    assert code == 74 and "a TwoTowerRecommender, fitted on a table with column" in log


def test_a_folder_that_is_missing_or_full_is_named(path, run, tmp_path, monkeypatch):
    day, written = tmp_path / "day.csv", path.read_bytes()
    new_day().to_csv(day, index=False)
    code, log = run(tmp_path / "no" / "model.sktt", day)
    assert code == 66 and "No such file" in log

    def sync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", sync)
        code, log = run(path, day, "--max-loss", "1")
    assert code == 1 and "No space left on device" in log and "run it again" in log
    assert path.read_bytes() == written
    assert run(path, day, "--max-loss", "1")[0] == 0
    assert path.read_bytes() != written


@pytest.mark.fuzz
def test_a_scheduler_that_starts_it_twice_gets_an_exit_code_and_a_line(path, tmp_path):
    command = [sys.executable, SCRIPT, path, tmp_path / "day.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (75, "")
    assert "another run" in done.stderr and len(done.stderr.splitlines()) == 1


def disturbed(folder, *n_kills):
    """Return what `nights` prints."""
    command = [
        sys.executable,
        "-m",
        "tests.examples.nights",
        folder,
        *map(str, n_kills),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.fuzz
def test_a_night_that_was_stopped_anywhere_is_repeated(tmp_path):
    found = disturbed(tmp_path)
    assert found["codes"] == CODES[: len(nights.STOPPED)] and found["stops"] >= 60
    assert found["wrong"] == []  # files, bit for bit, and exit codes


@pytest.mark.fuzz
def test_nights_that_were_killed_at_any_time_are_repeated(tmp_path):
    found = disturbed(tmp_path, 200)
    assert found["codes"] == CODES and found["stops"] > 50
    assert found["wrong"] == []
