"""Teach a model the events of a day, and publish it unless it has become worse.

Input: a file of ``sktwotower.io.dump``, and the day's events as CSV or Parquet.
Output: the file replaced in one step, or left as it was; an exit code; log lines.

``python examples/nightly.py model.sktt day.parquet`` learns the first nine tenths of
the day (in the order of the time column, or of the rows) by `partial_fit` of a copy,
and compares recall on the last tenth with yesterday's model, which gets the same events
as ``history``. The copy is published after it has learnt the whole day. The file before
stays as ``model.sktt.previous``.

Exit codes: 0 done (published, an empty day, or a day that was learnt before); 3 the
copy was worse, the old model stays; 65 the events cannot be used; 66 a file is missing;
75 another run is under way, try again later; 1 anything else.
"""

import argparse
import copy
import fcntl
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import io
from sktwotower.metrics import recall_at_k

DONE, WORSE, BAD_DATA, NO_INPUT, TRY_AGAIN = 0, 3, 65, 66, 75
log = logging.getLogger("nightly")


def column_of(model, parameter, otherwise):
    """Return the name of the column of fit that a parameter chooses."""
    names, chosen = list(model.feature_names_in_), getattr(model, parameter)
    chosen = otherwise if chosen is None else chosen
    return names[chosen] if isinstance(chosen, int) else chosen


def read_day(path, model):
    """Return the day's events with the columns of fit, oldest first."""
    if path.suffix == ".parquet":
        events = pd.read_parquet(path)
    else:
        ids = {column_of(model, "user_id", 0): model.user_ids_}
        ids[column_of(model, "item_id", 1)] = model.item_ids_
        text = [name for name, known in ids.items() if known.dtype == object]
        # "007" and "NA" may be ids, of which only an empty cell is missing
        how = {"dtype": str, "keep_default_na": False, "na_values": [""]}
        ids = pd.read_csv(path, usecols=lambda name: name in text, **how)
        events = pd.read_csv(path).assign(**ids)
    missing = [c for c in model.feature_names_in_ if c not in events.columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}, which fit had.")
    events = events[list(model.feature_names_in_)]
    if model.time is None or len(events) == 0:
        return events
    when = column_of(model, "time", None)
    if not pd.api.types.is_numeric_dtype(events[when]):
        events = events.assign(**{when: pd.to_datetime(events[when])})
    return events.sort_values(when, kind="stable")


def recall(model, held_out, k, history=None):
    """Return the recall at k of each user of held-out events, (n_users,)."""
    ranking = model.rank_held_out(held_out, n_neighbors=k, history=history)
    found = recall_at_k(ranking.truth, ranking.indices, k, per_user=True)
    reachable = np.diff(ranking.truth.indptr)
    # an item that the model does not know is a miss
    return np.nan_to_num(found) * reachable / (reachable + ranking.n_unreachable)


def learnt(model, events):
    """Return a copy of the model that has learnt further events."""
    model = copy.copy(model).partial_fit(events)
    if model.interrupted_:
        raise KeyboardInterrupt("the model is only partly trained")
    return model


def is_better(model, events, k, max_loss):
    """Return whether learning most of the day pays on the rest of it."""
    n_held_out = max(1, len(events) // 10)
    first, held_out = events[:-n_held_out], events[-n_held_out:]
    if len(first) == 0:
        raise ValueError("One event is too few to learn from and to compare.")
    old = recall(model, held_out, k, history=first)
    new = recall(learnt(model, first), held_out, k)
    log.info(
        "recall@%d of %d users on the last %d events: %.4f, yesterday's model %.4f",
        *(k, len(old), n_held_out, new.mean(), old.mean()),
    )
    return (new - old).mean() >= -max_loss


def publish(model, path):
    """Replace the file, after it has been read again."""
    new, previous = path.with_name(f"{path.name}.new"), f"{path}.previous"
    io.dump(model, new)
    user = model.user_ids_[:1].tolist()
    if not io.load(new).recommend(user).equals(model.recommend(user)):
        raise RuntimeError(f"{new} gives other answers than what was written.")
    Path(previous).unlink(missing_ok=True)
    os.link(path, previous)
    os.replace(new, path)


def night(path, day, k, max_loss):
    """Return the exit code of one run; the caller holds the lock."""
    if not day.exists() or not path.exists():
        log.error("%s does not exist", path if day.exists() else day)
        return NO_INPUT
    notes = path.with_name(f"{path.name}.days")
    digest = hashlib.sha256(day.read_bytes()).hexdigest()
    days = json.loads(notes.read_text()) if notes.exists() else []
    if digest in days:
        log.info("%s was learnt before", day)
        return DONE
    model = io.load(path)
    try:
        events = read_day(day, model)
        if len(events) == 0:
            log.info("%s holds no events", day)
            return DONE
        if not is_better(model, events, k, max_loss):
            log.warning("the new model is worse, the old one stays")
            return WORSE
        model = learnt(model, events)
    except (TypeError, ValueError) as error:
        log.error("%s cannot be learnt: %s", day, error)
        return BAD_DATA
    publish(model, path)
    notes.write_text(json.dumps([*days[-30:], digest]))
    log.info("published %s: %d users", path, len(model.user_ids_))
    return DONE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="file of sktwotower.io.dump")
    parser.add_argument("day", type=Path, help="CSV or Parquet file, one row per event")
    parser.add_argument("--k", type=int, default=20, help="places that count")
    parser.add_argument(
        "--max-loss", type=float, default=0.01, help="recall that may be lost"
    )
    given = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
    with open(f"{given.model}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.error("another run is under way")
            return TRY_AGAIN
        return night(given.model, given.day, given.k, given.max_loss)


if __name__ == "__main__":
    sys.exit(main())
