"""Teach a model the events of a day, and publish it unless it has become worse.

Input: a file of ``sktwotower.io.dump`` with a ``TwoTowerRecommender`` that was fitted
without ``y`` on a table with column names; the day's events as CSV or Parquet.
Output: the file replaced in one step; an exit code; log lines.

``python examples/nightly.py model.sktt day.parquet`` learns the first nine tenths of
the day (in the order of the time column, or of the rows) by `partial_fit` of a copy,
and compares recall on the last tenth with yesterday's model, which gets the same events
as ``history``. If the copy is not worse, it learns the whole day and is published.

If it is worse, yesterday's model is published with the day as past events of its users
(``lr=0``), so that it does not recommend what they have bought. The day is kept in
``model.sktt.refused.000001.csv``, with the next free number, and is offered again each
night, to be learnt before the new day; if that is worse, the new day is tried without.
The latest seven such days are kept. Delete these files, too, if users are forgotten.

A user whom `forget_users` has removed is unknown, and would be learnt again from a day
that still has the id. Write the ids, one a line, into ``model.sktt.forgotten``: events
of these users are left out. Only this file remembers them, for as long as you keep it.

The file before stays as ``model.sktt.previous``. There are no notes that could differ
from the model: its file knows the tables of the latest 64 calls of `partial_fit`, so
that no day is learnt twice. A run that was killed anywhere, or found a full disk, is
repeated by the same call, and ends as if nothing had happened: with the same numbers,
if the model has a ``random_state``.

Exit codes: 0 done (published, an empty day, or a day that was learnt before); 3 the
copy was worse, nothing was learnt; 65 the events cannot be used; 66 a file is missing;
74 the model, or the file of a refused day, cannot be used: the log says what to do; 75
another run is under way, try again later; 1 anything else, such as a full disk.
"""

import argparse
import copy
import fcntl
import glob
import logging
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender, io
from sktwotower.metrics import recall_at_k

DONE, WORSE, BAD_DATA, NO_INPUT, DAMAGED, TRY_AGAIN = 0, 3, 65, 66, 74, 75
MAX_REFUSED = 7
log = logging.getLogger("nightly")


class Damaged(Exception):
    """The file of a refused day cannot be used."""


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
        latest = events[when].max()
        # a day ahead may be another zone
        if latest > pd.Timestamp.now(latest.tz) + pd.Timedelta(days=1):
            raise ValueError(
                f"{path} has an event of {latest}, a time to come: all others would "
                "count as old. Correct such times, or drop the rows."
            )
    return events.sort_values(when, kind="stable")


def forgotten_users(path):
    """Return the ids, as text, that the file of the forgotten names."""
    file = Path(f"{path}.forgotten")
    try:
        lines = file.read_text("utf-8-sig").splitlines() if file.exists() else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be text in UTF-8: {error}") from error
    return {text for line in lines for text in (line, line.strip())}


def without_forgotten(events, forgotten, model):
    """Return events except those of forgotten users, ids as text."""
    users, known = events[column_of(model, "user_id", 0)], model.user_ids_
    if known.dtype.kind in "iu" and pd.api.types.is_float_dtype(users):
        users = users.map("{:.17g}".format)  # 7.0 is the id 7
    return events[~users.astype(str).isin(forgotten)]


def recall(model, held_out, k, history=None):
    """Return the recall at k of each user of held-out events, (n_users,)."""
    ranking = model.rank_held_out(held_out, n_neighbors=k, history=history)
    found = recall_at_k(ranking.truth, ranking.indices, k, per_user=True)
    reachable = np.diff(ranking.truth.indptr)
    # an item that the model does not know is a miss
    return np.nan_to_num(found) * reachable / (reachable + ranking.n_unreachable)


def with_days(model, *days, learn=True):
    """Return a copy of the model that has learnt days, or knows them as past events.

    Days that it was given before are left out: without others it is the model itself.
    """
    for events in days:
        more = copy.copy(model).set_params(lr=model.lr if learn else 0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                warnings.filterwarnings("error", "These .* an earlier partial_fit")
                more.partial_fit(events)
        except UserWarning:
            continue
        if learn and more.interrupted_:
            raise KeyboardInterrupt("the model is only partly trained")
        model = more.set_params(lr=model.lr)
    return model


def is_better(model, days, k, max_loss):
    """Return whether learning days, of the last one most, pays on the rest of it."""
    *before, events = days
    n_held_out = max(1, len(events) // 10)
    first, held_out = events[:-n_held_out], events[-n_held_out:]
    if len(first) == 0:
        raise ValueError("One event is too few to learn from and to compare.")
    old = recall(model, held_out, k, history=first)
    new = recall(with_days(model, *before, first), held_out, k)
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


def refused(path):
    """Return the bytes of the files of refused days by file, oldest first."""
    files = sorted(path.parent.glob(f"{glob.escape(path.name)}.refused.[0-9]*"))
    try:
        return {each: each.read_bytes() for each in files}
    except OSError as error:
        raise Damaged(f"A file of a refused day is damaged: {error}") from error


def keep(day, path):
    """Copy the file of a refused day next to the model, in one step."""
    kept, data = refused(path), day.read_bytes()
    if data in kept.values():
        return
    number = 1 + max((int(each.name.split(".")[-2]) for each in kept), default=0)
    kind = "parquet" if day.suffix == ".parquet" else "csv"
    part = f"{path}.refused.part"
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, f"{path}.refused.{number:06}.{kind}")


def offered_again(path, day, model, forgotten):
    """Return the events of earlier days that the model knows as refused, by file."""
    data, days = day.read_bytes(), {}
    others = [each for each, its in refused(path).items() if its != data]
    for each in others[:-MAX_REFUSED]:
        each.unlink()
    for each in others[-MAX_REFUSED:]:
        try:
            whole = read_day(each, model)
            events = without_forgotten(whole, forgotten, model)
            # refused before or after users were forgotten, and not learnt by a new fit
            if any(with_days(model, e, learn=False) is model for e in (whole, events)):
                days[each] = events
        except (TypeError, ValueError) as error:
            raise Damaged(f"{each} is damaged, delete it: {error}") from error
    return days


def decide(model, events, again, given):
    """Return the model to publish or None, the files it has learnt, and the exit code.

    ``again``: of `offered_again`.
    """
    taught = with_days(model, events)
    if taught is model:
        log.info("%s was learnt before", given.day)
        learnt = [f for f, its in again.items() if with_days(model, its) is model]
        return None, learnt, DONE
    past = with_days(model, events, learn=False)
    if past is model:
        log.warning("%s was refused before, and will be offered again", given.day)
        return None, [], WORSE
    for days in [again, {}] if again else [{}]:
        if is_better(model, [*days.values(), events], given.k, given.max_loss):
            new = with_days(model, *days.values(), events) if days else taught
            return new, [*days], DONE
    log.warning("the new model is worse, the old one stays, without what was bought")
    return past, [], WORSE


def night(given):
    """Return the exit code of one run; the caller holds the lock."""
    path, day = given.model, given.day
    if not day.exists() or not path.exists():
        log.error("%s does not exist", path if day.exists() else day)
        return NO_INPUT
    try:
        model = io.load(path)
    except (OSError, ValueError) as error:
        log.error("%s To go on, put %s.previous in its place.", error, path)
        return DAMAGED
    fits = isinstance(model, TwoTowerRecommender)
    if not fits or not hasattr(model, "feature_names_in_"):
        expected = "a TwoTowerRecommender, fitted on a table with column names"
        log.error("%s must hold %s. Got %s.", path, expected, type(model).__name__)
        return DAMAGED
    try:
        forgotten = forgotten_users(path)
        again = offered_again(path, day, model, forgotten)
        events = without_forgotten(read_day(day, model), forgotten, model)
        if len(events) == 0:
            log.info("%s holds no events", day)
            return DONE
        new, learnt, code = decide(model, events, again, given)
    except Damaged as error:
        log.error("%s", error)
        return DAMAGED
    except (OSError, TypeError, ValueError) as error:
        log.error("%s cannot be learnt: %s", day, error)
        return BAD_DATA
    if code == WORSE and new is not None:
        keep(day, path)
    if new is not None:
        publish(new, path)
        log.info("published %s: %d users", path, len(new.user_ids_))
    for each in learnt:
        each.unlink()
    return code


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
    try:
        with open(f"{given.model}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.error("another run is under way")
                return TRY_AGAIN
            return night(given)
    except OSError as error:
        log.error("the run has stopped: %s. Mend that, and run it again.", error)
        return 1 if given.model.parent.is_dir() else NO_INPUT


if __name__ == "__main__":
    sys.exit(main())
