"""Columns with cells of 48 kinds."""

import datetime
import decimal
import fractions
import pathlib
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa

from .ids import DAY, ODD, Rank, as_objects

WORDS = "the quick brown fox jumps over a lazy dog while 42 birds sing".split()


def some(draw):
    """Return a function of a generator and n that draws n cells."""
    return lambda rng, n: as_objects([draw(rng) for _ in range(n)])


def of_integers(make):
    """Return a kind of cell that is made of a random integer."""
    return some(lambda rng: make(int(rng.integers(12))))


def words(rng, low=0, high=4):
    return [str(word) for word in rng.choice(WORDS, rng.integers(low, high))]


CELLS = {
    "int": lambda rng, n: rng.integers(-5, 50, n),
    "large int": of_integers(lambda k: 10**k),
    "wide int": of_integers(lambda k: 10**30 + k),
    "bool": lambda rng, n: rng.random(n) < 0.5,
    "float": lambda rng, n: rng.normal(size=n),
    "with NaN": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.random(n)),
    "infinite": lambda rng, n: rng.choice([np.inf, -np.inf, 1.0, np.nan], n),
    "huge": lambda rng, n: rng.choice([1e308, -1e308, 1e-320, 0.0], n),
    "constant": lambda rng, n: np.full(n, 7.5),
    "missing": lambda rng, n: as_objects([None] * n),
    "NaN": lambda rng, n: np.full(n, np.nan),
    "level": lambda rng, n: rng.choice(["a", "b", "c"], n),
    "many levels": of_integers(lambda k: f"level {k**5}"),
    "text": some(lambda rng: " ".join(words(rng, 3, 9))),
    "tags": some(lambda rng: "|".join(words(rng))),
    "commas": some(lambda rng: ", ".join(words(rng))),
    "empty": lambda rng, n: as_objects([""] * n),
    "blank": some(lambda rng: str(rng.choice([" ", "\t\n", "", "\0"]))),
    "unicode": of_integers(lambda k: ODD[k % len(ODD)] * 2),
    "surrogate": of_integers(lambda k: f"a\ud800{k}"),
    "markup": of_integers(lambda k: f"<img src=x onerror=alert({k})>"),
    "digits": of_integers(str),
    "bytes": of_integers(lambda k: bytes([k])),
    "datetime": of_integers(lambda k: DAY + datetime.timedelta(hours=31 * k)),
    "aware": of_integers(
        lambda k: pd.Timestamp(DAY, tz="Asia/Tokyo") + pd.Timedelta(k, "D")
    ),
    "several zones": of_integers(
        lambda k: pd.Timestamp(DAY, tz=["UTC", "Asia/Tokyo"][k % 2])
    ),
    "date": of_integers(lambda k: datetime.date(2020, 1, 1 + k)),
    "far date": of_integers(lambda k: datetime.date(1 + 900 * (k % 11), 1, 1)),
    "time of day": of_integers(lambda k: datetime.time(k)),
    "timedelta": of_integers(lambda k: datetime.timedelta(minutes=k)),
    "period": of_integers(lambda k: pd.Period("2020-01", "M") + k),
    "interval": of_integers(lambda k: pd.Interval(k, k + 2)),
    "Decimal": of_integers(lambda k: decimal.Decimal(k) / 7),
    "signaling NaN": of_integers(lambda k: decimal.Decimal(["1", "sNaN"][k % 2])),
    "Fraction": of_integers(lambda k: fractions.Fraction(k, 7)),
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
    "UUID": of_integers(lambda k: uuid.UUID(int=k)),
    "enum": of_integers(lambda k: Rank(k + 1)),
    "list": some(words),
    "list of int": some(lambda rng: rng.integers(5, size=rng.integers(4)).tolist()),
    "nested": some(lambda rng: [words(rng), [1, [2]]]),
    "tuple or set": some(
        lambda rng: [tuple, set, frozenset][rng.integers(3)](words(rng))
    ),
    "dict": some(lambda rng: dict.fromkeys(words(rng), 1)),
    "vector": some(lambda rng: rng.normal(size=3)),
    "ragged": some(lambda rng: rng.normal(size=rng.integers(4))),
    "mixed": some(lambda rng: [1, "a", None, 2.5, b"x", ["t"], DAY][rng.integers(7)]),
    "object": some(
        lambda rng: [object(), len, ..., pathlib.Path("x")][rng.integers(4)]
    ),
    "ordered levels": lambda rng, n: pd.Categorical.from_codes(
        rng.integers(-1, 2, n), ["low", "mid", "high"], ordered=True
    ),
    "nullable": lambda rng, n: pd.array([1, None, 3] * n, dtype="Int8")[:n],
    "sparse": lambda rng, n: pd.arrays.SparseArray(rng.integers(2, size=n)),
    "arrow list": lambda rng, n: (
        pd.Series(
            [words(rng) for _ in range(n)], dtype=pd.ArrowDtype(pa.list_(pa.string()))
        ).array
    ),
    "arrow decimal": lambda rng, n: (
        pd.Series(
            [decimal.Decimal("1.25")] * n, dtype=pd.ArrowDtype(pa.decimal128(5, 2))
        ).array
    ),
}
