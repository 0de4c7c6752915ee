"""Teach a model the events of a day, and publish it unless the day or the model is bad.

Input: a file of ``sktwotower.io.dump`` with a ``TwoTowerRecommender`` that was fitted
without ``y`` on a table with column names; the day's events as CSV or Parquet; with
``--items`` and ``--users``, tables with new items and users.
Output: the file replaced in one step; an exit code; log lines.

``python examples/nightly.py model.sktt 2024-05-01.parquet`` passes three gates:

1. Are there enough users? At least ``--least-users``.
2. Is the day like the days before? Compared are its size, its times, its shares of new
   ids, of popular items, of the busiest user and of rows that were there before. And
   do the scores of yesterday's model agree with who chose what? They do not if columns
   were shuffled or ids renumbered. Times are those of fit, of ``--time`` or of the only
   column of dates. With them, or a date in the file's name, the weekday counts as well.
3. Does it make the model worse? A copy learns the day without the last tenth of each
   user's events, on which it is compared with yesterday's model, which gets the same
   events as ``history``. Then a copy of an older model, ``model.sktt.base``, learns the
   day, and both are compared on users of the up to seven days that were held back from
   it. Each user's recall counts as a pair. The day is refused if recall falls by more
   than ``--max-loss`` of itself, and the 95 % interval of the differences says so.

If all are passed, the copy learns the whole day and is published. The first three
nights have nothing to compare with. They have fixed limits, which shuffled columns and
unknown ids exceed, but half of a day does not. So fit on a table without its last week,
and run the job for each day of that week.

A day that is unlike the days before is not published in any form. Look at it, mend the
file and run it again. If it is right (a sale, a new shop), add ``--accept``, which
leaves out the first two gates; from then on such a day is usual.

A day that is too small is kept as ``model.sktt.refused.000001.csv``, with the next free
number. It is learnt with the next day, if both together pass.

If a day makes the model worse, yesterday's model is published with the day as past
events of its users (``lr=0``), so that it does not recommend what they have bought. The
day is kept as well, and offered again each night, to be learnt before the new day; if
that is worse, the new day is tried without. The latest seven kept days stay. Delete
these files, too, if users are forgotten.

Events whose ids the model's side tables lack are left out and counted. The rows of
``--items FILE`` and ``--users FILE`` are added to these tables, or replace those of the
same ids. A user whom `forget_users` has removed is unknown, and would be learnt again
from a day that still has the id. Write the ids, one a line, into
``model.sktt.forgotten``, those of items into ``model.sktt.forgotten.items``: these
events are left out, too. Only these files remember them, as long as you keep them.

The file before stays as ``model.sktt.previous``. To go back to it, run ``nightly.py
model.sktt --back``. ``model.sktt.days`` holds figures of the latest 28 days, and the
events that are held back, of at most 200 users a day. It names the model that it
belongs to. After a new fit the figures go on, and days are held back anew. The model's
file knows the tables of the latest 64 calls of `partial_fit`, so that no day is learnt
twice. A run that was killed anywhere, or found a full disk, is repeated by the same
call, and ends as if nothing had happened: with the same numbers, if the model has a
``random_state``.

Exit codes: 0 done (published, an empty day, one that was learnt before, or went back);
3 the copy was worse, nothing was learnt; 4 the day is unlike the days before, nothing
was published; 5 the day is too small, nothing was published, it waits for the next one;
65 the events or tables cannot be used; 66 a file is missing; 74 the model, or a file
next to it, cannot be used: the log says what to do; 75 another run is under way, try
again later; 1 anything else, such as a full disk.
"""

import argparse
import copy
import fcntl
import glob
import hashlib
import io as memory
import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender, io
from sktwotower.metrics import recall_at_k

DONE, WORSE, UNLIKE, SMALL = 0, 3, 4, 5
FEW = -1  # users, which other days may add; the exit code is that of SMALL
BAD_DATA, NO_INPUT, DAMAGED, TRY_AGAIN = 65, 66, 74, 75
MAX_KEPT = 7  # days that were refused
MAX_DAYS = 28  # days whose figures are kept
RECENT_DAYS = 14  # the latest of them say what is usual
MIN_DAYS = 3  # fewer say nothing of what is usual
MAX_HELD_BACK = 7  # days that the base has not learnt
MAX_HELD_BACK_USERS = 200
MAX_COMPARED_USERS = 500
log = logging.getLogger("nightly")


class Damaged(Exception):
    """A file next to the model cannot be used."""


# ---------------------------------------------------------------- reading the day


def column_of(model, parameter, otherwise):
    """Return the name of the column of fit that a parameter chooses."""
    names, chosen = list(model.feature_names_in_), getattr(model, parameter)
    chosen = otherwise if chosen is None else chosen
    return names[chosen] if isinstance(chosen, int) else chosen


def user_and_item(model):
    """Return the names of both columns of ids."""
    return column_of(model, "user_id", 0), column_of(model, "item_id", 1)


def read_table(path, model):
    """Return the table of a CSV or Parquet file; ids that were text in fit are text."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    user, item = user_and_item(model)
    known = {user: model.user_ids_, item: model.item_ids_}
    text = [name for name, ids in known.items() if ids.dtype == object]
    # "007" and "NA" may be ids, of which only an empty cell is missing
    as_text = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    ids = pd.read_csv(path, usecols=lambda name: name in text, **as_text)
    return pd.read_csv(path).assign(**ids)


def read_day(path, model, time=None):
    """Return the day's events with the columns of fit, oldest first, and their times.

    ``time``: the column of times. None: that of fit, or the only one that holds dates;
    without one there are no times.
    """
    events = read_table(path, model)
    features = list(model.feature_names_in_)
    dates = events.select_dtypes(["datetime", "datetimetz"]).columns
    if model.time is not None:
        time = column_of(model, "time", None)
    elif time is None and len(dates) == 1:
        time = dates[0]
    for name in features if time is None else [*features, time]:
        if name not in events.columns:
            which = "which fit had" if name in features else "which --time names"
            raise ValueError(f"{path} has no column {name!r}, {which}.")
    if time is None or len(events) == 0:
        return events[features], None
    if not pd.api.types.is_numeric_dtype(events[time]):
        events = events.assign(**{time: pd.to_datetime(events[time])})
        latest = events[time].max()
        # a day ahead may be another zone
        if latest > pd.Timestamp.now(latest.tz) + pd.Timedelta(days=1):
            raise ValueError(
                f"{path} has an event of {latest}, a time to come: all others would "
                "count as old. Correct such times, or drop the rows."
            )
    events = events.sort_values(time, kind="stable")
    return events[features], events[time]


def forgotten_ids(path):
    """Return the ids, as text, that a file of the forgotten names."""
    file = Path(path)
    try:
        lines = file.read_text("utf-8-sig").splitlines() if file.exists() else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be text in UTF-8: {error}") from error
    return {text for line in lines for text in (line, line.strip())}


def are_forgotten(ids, known, forgotten):
    """Return which of a column of ids a file of the forgotten names, (n_events,)."""
    if known.dtype.kind in "iu" and pd.api.types.is_float_dtype(ids):
        ids = ids.map("{:.17g}".format)  # 7.0 is the id 7
    return ids.astype(str).isin(forgotten).to_numpy()


class Forgotten:
    """The users and items that must not be learnt again."""

    def __init__(self, path):
        self.users = forgotten_ids(f"{path}.forgotten")
        self.items = forgotten_ids(f"{path}.forgotten.items")

    def of(self, events, model):
        """Return which events are of forgotten users, and which of forgotten items."""
        user, item = user_and_item(model)
        return (
            are_forgotten(events[user], model.user_ids_, self.users),
            are_forgotten(events[item], model.item_ids_, self.items),
        )

    def left(self, events, model):
        """Return the events of all others."""
        of_users, of_items = self.of(events, model)
        return events[~of_users & ~of_items]


def with_table(model, side, path, forgotten):
    """Put the rows of a file into a side table of the model, in place of older ones."""
    name, label = f"{side}s", user_and_item(model)[side == "item"]
    before = getattr(model, name)
    if before is None:
        raise ValueError(
            f"--{name} names a table, but the model was fitted without {name}=. Leave "
            "it out, or fit the model with it."
        )
    rows = read_table(path, model)
    column = label if label in before.columns else before.columns[0]
    missing = [c for c in before.columns if c not in rows.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}, which {name} of fit had."
        )
    known = model.item_ids_ if side == "item" else model.user_ids_
    rows = rows.loc[~are_forgotten(rows[column], known, forgotten), before.columns]
    older = before[~before[column].isin(rows[column])]
    model.set_params(**{name: pd.concat([older, rows], ignore_index=True)})


def known_to_tables(events, model):
    """Return the events whose users and items the side tables have."""
    user, item = user_and_item(model)
    for column, table, known in (
        (user, model.users, model.user_ids_),
        (item, model.items, model.item_ids_),
    ):
        if table is not None:
            listed = table[column if column in table.columns else table.columns[0]]
            # set_catalog may have added items; a missing id is an error of its own
            is_known = events[column].isin(listed) | events[column].isin(known)
            events = events[is_known | events[column].isna()]
    return events


# ------------------------------------ the first gates: is the day like days before?
#
# A day has figures. Those of SMALLER and LOW must not fall below such a share of what
# is usual. Those of HIGH must not rise above one and a half times the highest of the
# days before, and a tenth. FIRST are their limits in the first nights.

SMALLER = {"events": 0.55, "events per user": 0.7, "span of times": 0.7}
LOW = {"popular items": 0.7, "agreement": 0.75, "agreement with the past": 0.4}
HIGH = {
    "new users": "users that the model does not know",
    "new items": "events of items that the model does not know",
    "busiest user": "events of one user",
    "busiest item": "events of one item",
    "repeated rows": "rows that occur more than once",
    "known pairs": "pairs of user and item that the model has learnt before",
    "again": "rows of an earlier day that are in this day, too",
}
FIRST = {
    "new users": 0.999,
    "new items": 0.5,
    "busiest user": 0.5,
    "busiest item": 0.5,
    "repeated rows": 0.999,
    "known pairs": 0.95,
    "again": 0.5,
}
LARGER = 2.5  # times as many events as usual
MIN_ERRORS = 3  # standard errors by which scores of a first day agree with choices


def agreement(model, users, items, history=None):
    """Return how well scores agree with who chose what, of each user, and its weight.

    Scores are products of vectors here, without what sparse parts add.
    For each event: of how many of the other users the model scores this item lower. The
    mean is from -1 to 1, and 0 if anybody else is as likely to have chosen the item.

    ``users``, ``items``: those of the events, Series (n_events,).
    """
    places, distinct = pd.factorize(users)
    vectors = model.embed_users(distinct, history=history)
    columns = pd.Index(model.item_ids_).get_indexer(items)
    scores = vectors @ model.item_embeddings_[columns].T
    chosen = scores[places, np.arange(len(places))]
    lower = (scores < chosen).sum(axis=0)
    level = (scores == chosen).sum(axis=0) - 1
    share = (lower + level / 2) / (len(distinct) - 1)
    n_events = np.bincount(places)
    means = np.bincount(places, weights=2 * share - 1) / n_events
    return pd.DataFrame({"mean": means, "weight": np.sqrt(n_events)}, index=distinct)


def repeats(model, events, times, earlier):
    """Return the figures of rows that occur again, in the day or from earlier days."""
    pairs = events[list(user_and_item(model))]
    rows = pairs if times is None else pairs.assign(**{"of fit or --time": times})
    different, again = pairs.drop_duplicates(), [0.0]
    for day in earlier:
        again.append(len(day[pairs.columns].merge(different)) / len(day))
    repeated = float(rows.duplicated(keep=False).mean())
    return {"repeated rows": repeated, "again": float(max(again))}


def weighted_mean(users):
    """Return the mean of users' agreement, and its standard error."""
    weights = users["weight"] / users["weight"].sum()
    mean = (weights * users["mean"]).sum()
    error = (weights**2 * (users["mean"] - mean) ** 2).sum() ** 0.5
    return float(mean), float(error)


def agreements(model, events):
    """Return the figures of how well yesterday's model agrees with the day."""
    user, item = user_and_item(model)
    events = events[events[item].isin(model.item_ids_)]
    drawn = events[user].drop_duplicates()
    if len(drawn) > MAX_COMPARED_USERS:
        drawn = drawn.sample(MAX_COMPARED_USERS, random_state=0)
    events = events[events[user].isin(drawn)]
    figures = {
        "agreement": 0.0,
        "error of agreement": 0.0,
        "agreement with the past": 0.0,
    }
    parts = []

    # what the model knows of a user, and what the user chose
    of_known = events[events[user].isin(model.user_ids_)].drop_duplicates([user, item])
    if of_known[user].nunique() > 1:
        parts.append(agreement(model, of_known[user], of_known[item]))
        figures["agreement with the past"], _ = weighted_mean(parts[0])

    # the first half of a user's events, as history, and the other half
    n_events = events.groupby(user)[item].transform("size")
    is_first = 2 * events.groupby(user).cumcount() < n_events
    rest = events[~is_first].drop_duplicates([user, item])
    if rest[user].nunique() > 1:
        first = events[is_first & events[user].isin(rest[user])]
        parts.append(agreement(model, rest[user], rest[item], history=first))

    if parts:
        both = pd.concat(parts)
        both = pd.DataFrame(
            {
                "mean": both["mean"].groupby(both.index).mean(),
                "weight": (both["weight"] ** 2).groupby(both.index).sum() ** 0.5,
            }
        )
        figures["agreement"], figures["error of agreement"] = weighted_mean(both)
    return figures


def figures_of(model, events, times):
    """Return the figures of a day by name."""
    user, item = user_and_item(model)
    users, items = events[user], events[item]
    per_user = users.value_counts()
    are_known = per_user.index.isin(model.user_ids_)

    pairs = events[[user, item]]
    different = pairs.drop_duplicates()
    seen = model.seen_items(per_user.index[are_known].to_numpy())
    n_seen = len(different.merge(seen)) if are_known.any() else 0

    counts = model.rank_held_out(events[:1], n_neighbors=0).item_counts
    n_popular = 1 + len(counts) // 10
    popular = model.item_ids_[np.argsort(-counts, kind="stable")[:n_popular]]

    figures = {
        "events": len(events),
        "users": len(per_user),
        "events per user": float(np.exp(np.log(per_user).mean())),
        "popular items": float(items.isin(popular).mean()),
        "new users": float(1 - are_known.mean()),
        "new items": float(1 - items.isin(model.item_ids_).mean()),
        "busiest user": float(per_user.iloc[0] / len(events)),
        "busiest item": float(items.value_counts().iloc[0] / len(events)),
        "known pairs": float(n_seen / len(different)),
    }
    if times is not None:
        numbers = times
        if not pd.api.types.is_numeric_dtype(times):
            numbers = pd.Series(pd.DatetimeIndex(times).as_unit("ns").asi8 / 1e9)
        early, middle, late = numbers.quantile([0.01, 0.5, 0.99])
        figures["time"] = float(middle)
        figures["latest time"] = float(late)
        figures["span of times"] = float(late - early)
    return figures | agreements(model, events)


def weekday_of(path, times):
    """Return the weekday of a day, 0 to 6, by its times or its file's name, or None."""
    if times is not None and not pd.api.types.is_numeric_dtype(times):
        return int(times.median().weekday())
    date = re.search(r"(\d{4})-?(\d{2})-?(\d{2})", path.name)
    try:
        return pd.Timestamp("-".join(date.groups())).weekday() if date else None
    except ValueError:
        return None


class Usual:
    """What is usual: the figures of the days before, and the weekday of the day."""

    def __init__(self, days, weekday):
        self.days = [day["figures"] for day in days]
        self.of_weekday = []
        if weekday is not None:
            self.of_weekday = [d["figures"] for d in days if d["weekday"] == weekday]
        self.is_known = len(days) >= MIN_DAYS
        self.is_new_weekday = weekday is not None and not self.of_weekday

    def median(self, name, value):
        """Return what a figure usually is: of recent days, or of the same weekday.

        That which is nearer to the value. None: no day has the figure.
        """
        recent = [day[name] for day in self.days[-RECENT_DAYS:] if name in day]
        if not recent:
            return None
        usual = float(np.median(recent))
        of_weekday = [day[name] for day in self.of_weekday if name in day]
        if not of_weekday:
            return usual
        # one day of the weekday says half of what is usual on it, two say two thirds
        share = len(of_weekday) / (len(of_weekday) + 1)
        on_weekday = share * float(np.median(of_weekday)) + (1 - share) * usual
        return min(usual, on_weekday, key=lambda each: abs(each - value))

    def fallen(self, figures, limits):
        """Return a sentence for each figure under its share of the usual one."""
        sentences = []
        for name, limit in limits.items():
            if name in figures:
                usual = self.median(name, figures[name])
                at_most = figures[name] + figures.get(f"error of {name}", 0)
                if usual is not None and at_most < limit * usual:
                    sentences.append(f"{name}: {figures[name]:.4g}, usual: {usual:.4g}")
        return sentences

    def small(self, figures):
        """Return a sentence for each way in which a day is too small."""
        if not self.is_known:
            return []
        if self.is_new_weekday:  # a first Sunday may be half as long
            return self.fallen(figures, {name: its**2 for name, its in SMALLER.items()})
        return self.fallen(figures, SMALLER)

    def unlike(self, figures):
        """Return a sentence for each way in which a day is unlike the days before."""
        sentences = []
        for name, what in HIGH.items():
            highest = max((day[name] for day in self.days), default=0)
            limit = FIRST[name]
            if self.is_known:
                limit = min(1.5 * highest + 0.1, max(highest, limit))
            if figures[name] > limit:
                before = (
                    f"up to {highest:.0%} before" if self.days else "on a first day"
                )
                sentences.append(f"{what}: {figures[name]:.0%}, {before}")
        times = [day["latest time"] for day in self.days if "latest time" in day]
        if times and "time" in figures and figures["time"] <= max(times):
            sentences.append("its times are not later than those of the days before")
        if self.is_known:
            usual = self.median("events", figures["events"])
            if figures["events"] > LARGER * usual:
                sentences.append(f"events: {figures['events']}, usual: {usual:.4g}")
            return sentences + self.fallen(figures, LOW)
        errors = MIN_ERRORS * figures["error of agreement"]
        if figures["agreement"] <= errors or figures["agreement with the past"] < 0:
            sentences.append(
                "who chose what looks as if drawn at random: the scores of the model "
                f"agree by {figures['agreement']:.3f}, chance by up to {errors:.3f}"
            )
        return sentences


# --------------------------------------- the third gate: does it make the model worse?


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


def recall(model, held_out, k, history=None):
    """Return the recall at k of each user of held-out events, a Series by user."""
    ranks = {"n_neighbors": k, "history": history, "requests": []}
    with warnings.catch_warnings():
        # customers buy again, which is the same for both models
        warnings.filterwarnings("ignore", ".* of the pairs of X were chosen in fit")
        ranking = model.rank_held_out(held_out, **ranks)
    hits = recall_at_k(ranking.truth, ranking.indices, k, per_user=True)
    reachable = np.diff(ranking.truth.indptr)
    # an item that the model does not know is a miss
    shares = np.nan_to_num(hits) * reachable / (reachable + ranking.n_unreachable)
    return pd.Series(shares, ranking.users)


def last_tenths(events, model):
    """Return a day without the last tenth of each user's events, and these.

    Of users with one event nothing is held out, unless all have one.
    """
    users = events[column_of(model, "user_id", 0)]
    n_events = users.groupby(users).transform("size")
    n_later = users.groupby(users).cumcount(ascending=False)
    is_held_out = (n_later < np.ceil(n_events / 10)) & (n_events > 1)
    if not is_held_out.any():
        is_held_out = np.arange(len(events)) >= len(events) - np.ceil(len(events) / 10)
    return events[~is_held_out], events[is_held_out]


def loses(old, new, max_loss, what):
    """Return whether a figure falls by more than a share of itself, beyond noise.

    ``old``, ``new``: the figures of the same users, Series.
    """
    difference = new - old
    half = 1.96 * difference.std(ddof=0) / len(difference) ** 0.5
    lowest, highest = difference.mean() - half, difference.mean() + half
    log.info(
        "%s, %d users: %.4f with it, %.4f without; 95 %% interval of the difference "
        "%+.4f to %+.4f",
        *(what, len(new), new.mean(), old.mean(), lowest, highest),
    )
    return bool(highest < -max_loss * old.mean())


# ------------------------------------------------------------- files next to the model


def digest_of(path):
    """Return a digest of a file, or None if there is none."""
    if not Path(path).exists():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(data, path):
    """Write the bytes of a file, so that a crash of the machine cannot lose them."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def as_json(events):
    """Return a table as JSON text that names the types of its columns."""
    options = {"orient": "table", "index": False, "date_unit": "ns"}
    return events.to_json(double_precision=15, **options)


class Days:
    """The latest days that the model was given: the file ``model.sktt.days``.

    ``model``: digest of the model that they belong to. ``base``: that of the file
    ``model.sktt.base``, or None. ``days``: for each day its ``figures``, its
    ``weekday``, the digest of the model ``before`` it, and those of its ``events`` that
    are held back from the base, JSON or None. ``small``: names of files of days that
    wait for others.
    """

    def __init__(self, model, base=None, days=(), small=()):
        self.model = model
        self.base = base
        self.days = list(days)
        self.small = list(small)

    @classmethod
    def read(cls, path):
        """Return the days that belong to the model's file as it is now."""
        file, digest = Path(f"{path}.days"), digest_of(path)
        if not file.exists():
            return cls(digest)
        try:
            days = cls(**json.loads(file.read_text("utf-8")))
            digests = [day["before"] for day in days.days]
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise Damaged(f"{file} is damaged, delete it: {error}") from error
        if days.model != digest and digest in digests:  # somebody went back
            days.days = days.days[: digests.index(digest)]
        elif days.model != digest:
            log.info("%s is another model: no days are held back from it", path)
            days.base, days.small = None, []
            days.days = [day | {"events": None} for day in days.days]
        days.model = digest
        return days

    def held_back(self, model, forgotten):
        """Return the events of each day that is held back from the base.

        Those of forgotten users and items are dropped, from the file as well.
        """
        tables = []
        for day in self.days:
            if day["events"] is not None:
                text = memory.StringIO(day["events"])
                events = pd.read_json(text, orient="table")
                left = forgotten.left(events, model)
                if len(left) < len(events):
                    day["events"] = as_json(left) if len(left) else None
                if len(left):
                    tables.append(left)
        return tables

    def with_small(self, name):
        """Return these days and the name of a file that waits."""
        small = [*self.small, *[name][name in self.small :]]
        return Days(self.model, self.base, self.days, small)

    def with_day(self, day, after):
        """Return these days and one more, after which the model's digest is another."""
        base, days = self.base, self.days
        if day["events"] is not None:
            n_held_back = sum(each["events"] is not None for each in days)
            if n_held_back == 0 or n_held_back >= MAX_HELD_BACK:
                base = self.model
                days = [each | {"events": None} for each in days]
        day = day | {"before": self.model}
        return Days(after, base, [*days, day][-MAX_DAYS:], self.small)

    def write(self, path):
        """Write the file in one step."""
        part = f"{path}.part"
        write(json.dumps(vars(self)).encode(), part)
        os.replace(part, path)


def finish(path):
    """Let the days follow their model, also after a run that was killed in between."""
    new, base = Path(f"{path}.days.new"), Path(f"{path}.base.new")
    try:
        belongs_to = json.loads(new.read_bytes())["model"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return  # it was not written to its end
    if belongs_to == digest_of(path):
        if base.exists():
            os.replace(base, f"{path}.base")
        os.replace(new, f"{path}.days")


def publish(model, path, days, day):
    """Replace the file, after it has been read again, and the days that belong to it.

    ``days``: those of the model so far, `Days`. ``day``: the new one.
    """
    new, previous = path.with_name(f"{path.name}.new"), f"{path}.previous"
    io.dump(model, new)
    user = model.user_ids_[:1].tolist()
    if not io.load(new).recommend(user).equals(model.recommend(user)):
        raise RuntimeError(f"{new} gives other answers than what was written.")
    base = Path(f"{path}.base.new")
    base.unlink(missing_ok=True)
    days_now = days.with_day(day, digest_of(new))
    if days_now.base == days.model:
        os.link(path, base)
    days_now.write(f"{path}.days.new")
    Path(previous).unlink(missing_ok=True)
    os.link(path, previous)
    os.replace(new, path)
    finish(path)


def go_back(path):
    """Put the file of before in the model's place; return the exit code."""
    previous = Path(f"{path}.previous")
    if not previous.exists():
        log.error("%s does not exist: there is nothing to go back to", previous)
        return NO_INPUT
    os.replace(previous, path)
    log.info("%s is the model of before again", path)
    return DONE


def kept_days(path):
    """Return the bytes of the files of days that were refused by file, oldest first."""
    files = sorted(path.parent.glob(f"{glob.escape(path.name)}.refused.[0-9]*"))
    try:
        return {each: each.read_bytes() for each in files}
    except OSError as error:
        raise Damaged(f"A file of a refused day is damaged: {error}") from error


def keep(day, path):
    """Copy the file of a refused day next to the model, in one step: its name."""
    kept, data = kept_days(path), day.read_bytes()
    for file, its in kept.items():
        if its == data:
            return file.name
    number = 1 + max((int(each.name.split(".")[-2]) for each in kept), default=0)
    kind = "parquet" if day.suffix == ".parquet" else "csv"
    file = path.with_name(f"{path.name}.refused.{number:06}.{kind}")
    write(data, f"{path}.refused.part")
    os.replace(f"{path}.refused.part", file)
    return file.name


# ------------------------------------------------------------------------- the night


def as_held_back(events, model):
    """Return a day's events of some of its users, as JSON text."""
    users = events[column_of(model, "user_id", 0)]
    drawn = users.drop_duplicates()
    if len(drawn) > MAX_HELD_BACK_USERS:
        drawn = drawn.sample(MAX_HELD_BACK_USERS, random_state=0)
    return as_json(events[users.isin(drawn)])


class Night:
    """One run: the model of yesterday, the day, and the days before."""

    def __init__(self, given, model):
        self.given = given
        self.path = given.model
        self.forgotten = Forgotten(given.model)
        self.days = Days.read(given.model)
        self.model = self.with_tables(model)
        events, times = read_day(given.day, self.model, given.time)
        gone = np.logical_or(*self.forgotten.of(events, self.model))
        self.events = events[~gone]
        self.times = None if times is None else times[~gone]
        self.weekday = weekday_of(given.day, self.times)
        self.held_back = self.days.held_back(self.model, self.forgotten)
        if gone.any():
            log.info("left out: %d events of forgotten users and items", gone.sum())

    def with_tables(self, model):
        """Return a model that has the rows of new side tables."""
        fits = isinstance(model, TwoTowerRecommender)
        if not fits or not hasattr(model, "feature_names_in_"):
            expected = "a TwoTowerRecommender, fitted on a table with column names"
            got = type(model).__name__
            raise Damaged(f"{self.path} must hold {expected}. Got {got}.")
        if self.given.items is not None:
            with_table(model, "item", self.given.items, self.forgotten.items)
        if self.given.users is not None:
            with_table(model, "user", self.given.users, self.forgotten.users)
        return model

    def offered_again(self):
        """Return the events of earlier days that are to be learnt, by file.

        They made the model worse, which knows them as past events, or wait for others.
        """
        data, days = self.given.day.read_bytes(), {}
        others = [file for file, its in kept_days(self.path).items() if its != data]
        for file in others[:-MAX_KEPT]:
            file.unlink()
        for file in others[-MAX_KEPT:]:
            try:
                whole, _ = read_day(file, self.model)
                events = known_to_tables(
                    self.forgotten.left(whole, self.model), self.model
                )
                # refused before or after users were forgotten, not learnt by a new fit
                knows_as_past = any(
                    with_days(self.model, each, learn=False) is self.model
                    for each in (whole, events)
                )
            except (TypeError, ValueError) as error:
                raise Damaged(f"{file} is damaged, delete it: {error}") from error
            if knows_as_past or file.name in self.days.small:
                days[file] = events
        return days

    def first_gates(self, waiting):
        """Return what the first two gates say, and the figures of the day.

        One of DONE, UNLIKE, SMALL, and FEW: it needs more users. ``waiting``: earlier
        days that were too small, and are looked at with this one.
        """
        events = pd.concat([*waiting, self.events], ignore_index=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # figures say what is strange
            figures = figures_of(self.model, events, self.times)
        figures |= repeats(self.model, self.events, self.times, self.held_back)
        said = [
            f"{name} {its:.4g}" for name, its in figures.items() if "time" not in name
        ]
        log.info("%s", ", ".join(said))
        if self.given.accept:
            return DONE, figures
        usual = Usual(self.days.days, self.weekday)
        least = self.given.least_users
        has_few = figures["users"] < least
        said = [f"{figures['users']} users, {least} are needed"] if has_few else []
        unlike = [] if has_few else usual.unlike(figures)
        small = [] if waiting else usual.small(figures)
        for what, sentences in (
            ("unlike the days before", unlike),
            ("too small", [*said, *small]),
        ):
            for sentence in sentences:
                log.warning("%s: %s", what, sentence)
        if unlike:
            return UNLIKE, figures
        if small:
            return SMALL, figures
        return (FEW if has_few else DONE), figures

    def is_worse(self, days):
        """Return whether days make the model worse, of which the last one is judged."""
        model, k, max_loss = self.model, self.given.k, self.given.max_loss
        *before, events = days
        first, held_out = last_tenths(events, model)
        worse = False
        if len(first):
            old = recall(model, held_out, k, history=first)
            new = recall(with_days(model, *before, first), held_out, k)
            worse = loses(old, new, max_loss, f"recall@{k} on the day")
        base, held_back = f"{self.path}.base", self.held_back
        if len(held_back) == 0 or digest_of(base) != self.days.base:
            log.info("no days are held back yet: the day itself is the only judge")
        else:
            base, held_back = self.with_tables(io.load(base)), pd.concat(held_back)
            old = recall(base, held_back, k)
            new = recall(with_days(base, *days), held_back, k)
            worse |= loses(old, new, max_loss, f"recall@{k} on days held back")
        return worse

    def publish(self, model, figures, held_back):
        """Replace the model's file; ``held_back``: events of the day, JSON or None."""
        day = {"figures": figures, "weekday": self.weekday, "events": held_back}
        publish(model, self.path, self.days, day)
        log.info("published %s: %d users", self.path, len(model.user_ids_))

    def run(self):
        """Return the exit code."""
        day, model = self.given.day, self.model
        events = known_to_tables(self.events, model)
        n_unknown = len(self.events) - len(events)
        if n_unknown:
            log.warning(
                "left out: %d events of ids that the side tables lack", n_unknown
            )
        if len(self.events) == 0:
            log.info("%s holds no events", day)
            return DONE
        if len(events) == 0:
            log.error(
                "the side tables lack the ids of all events: nothing can be learnt"
            )
            return UNLIKE
        # what cannot be learnt is an error, before anything is compared
        taught = with_days(model, events)
        offered = self.offered_again()
        if taught is model:
            log.info("%s was learnt before", day)
            for file, earlier in offered.items():
                if with_days(model, earlier) is model:
                    file.unlink()
            return DONE
        past = with_days(model, events, learn=False)
        if past is model:
            log.warning("%s was refused before, and will be offered again", day)
            return WORSE

        code, figures = alone, figures_alone = self.first_gates([])
        if alone == UNLIKE:
            log.error("nothing is published: mend it, or add --accept if it is right")
            return UNLIKE
        attempts = [offered, {}] if offered else [{}]
        for earlier in attempts if alone != SMALL else []:
            names = [file.name for file in earlier]
            waiting = [
                earlier[file] for file in earlier if file.name in self.days.small
            ]
            code, figures = alone, figures_alone
            if waiting:
                log.info("together with days that wait: %s", ", ".join(names))
                code, figures = self.first_gates(waiting)
            if code == DONE and self.is_worse([*earlier.values(), events]):
                code = WORSE
            if code == DONE:
                new = with_days(model, *earlier.values(), events)
                self.publish(new, figures, as_held_back(events, model))
                for file in earlier:
                    file.unlink()
                return DONE

        name = keep(day, self.path)
        if code == WORSE:
            log.warning(
                "the new model is worse, the old one stays, without what was bought"
            )
            self.publish(past, figures, None)
        else:
            log.warning("nothing is published: the day waits for the next one")
            self.days.with_small(name).write(f"{self.path}.days")
            code = SMALL
        return code


def night(given):
    """Return the exit code of one run; the caller holds the lock."""
    for file in (given.model, given.day, given.items, given.users):
        if file is not None and not file.exists():
            log.error("%s does not exist", file)
            return NO_INPUT
    finish(given.model)
    try:
        model = io.load(given.model)
    except (OSError, ValueError) as error:
        log.error("%s To go on, run nightly.py %s --back.", error, given.model)
        return DAMAGED
    try:
        return Night(given, model).run()
    except Damaged as error:
        log.error("%s", error)
        return DAMAGED
    except (TypeError, ValueError) as error:
        log.error("%s cannot be learnt: %s", given.day, error)
        return BAD_DATA


def options():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, help="file of sktwotower.io.dump")
    add("day", type=Path, nargs="?", help="CSV or Parquet file, one row per event")
    add("--back", action="store_true", help="put the model of the day before in place")
    add("--items", type=Path, help="table of items, CSV or Parquet, with the new ones")
    add("--users", type=Path, help="table of users, CSV or Parquet, with the new ones")
    add("--time", help="column of times to compare days by, if fit had none")
    add("--k", type=int, default=20, help="places that count")
    add("--max-loss", type=float, default=0.05, help="share of recall that may be lost")
    add("--least-users", type=int, default=20, help="users that a day must have")
    add("--accept", action="store_true", help="publish a day that is unlike others")
    return parser


def main():
    parser = options()
    given = parser.parse_args()
    if (given.day is None) != given.back:
        parser.error("name either a day or --back")
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("sktwotower").setLevel("WARNING")  # its settings, each night
    try:
        with open(f"{given.model}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.error("another run is under way")
                return TRY_AGAIN
            return go_back(given.model) if given.back else night(given)
    except OSError as error:
        log.error("the run has stopped: %s. Mend that, and run it again.", error)
        return 1 if given.model.parent.is_dir() else NO_INPUT


if __name__ == "__main__":
    sys.exit(main())
