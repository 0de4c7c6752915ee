"""Film ratings of MovieLens, downloaded from GroupLens once and kept.

Input: the name of an edition.
Output: a frame (n_ratings, 4) as in the source, and the tables of its users and items.
"""

import csv
import hashlib
import io
import os
import shutil
import tempfile
import time
from http.client import HTTPException
from importlib.resources import files
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, overload
from urllib.request import urlopen
from zipfile import ZipFile

import pandas as pd
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from sktwotower._sklearn_compat import Interval, StrOptions, checks_arguments

_BASE_URL = "https://files.grouplens.org/datasets/movielens/"
_TIMEOUT = 30  # seconds without an answer

# SHA-256 of the zips. GroupLens may replace latest-small in place: this is the edition
# of September 2018, and a later one must not be taken for the same data.
_CHECKSUMS = {
    "100k": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "1m": "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    "latest-small": "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
}

_RATING_COLUMNS = ["user", "item", "rating", "time"]
_USER_COLUMNS = ["user", "age", "gender", "occupation", "zip_code"]
# Also of series, "(2006–2007)", and of videos, "(1995) (V)".
_YEAR = r"\((\d{4})(?:[-–]\d{0,4})?\)(?: \(V\))?\s*$"

# In the order of the flags at the end of a line of u.item, after "unknown".
_GENRES_100K = (
    "Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()

# In the order of the codes 0 to 20 in the README of ml-1m.
_OCCUPATIONS_1M = (
    "other|academic/educator|artist|clerical/admin|college/grad student|"
    "customer service|doctor/health care|executive/managerial|farmer|homemaker|"
    "K-12 student|lawyer|programmer|retired|sales/marketing|scientist|"
    "self-employed|technician/engineer|tradesman/craftsman|unemployed|writer"
).split("|")


@overload
def fetch_movielens(
    name: str = ..., *, return_X_y: Literal[False] = ..., **options: Any
) -> Bunch: ...
@overload
def fetch_movielens(
    name: str = ..., *, return_X_y: Literal[True], **options: Any
) -> tuple[pd.DataFrame, pd.Series]: ...
@checks_arguments(
    name=[StrOptions(set(_CHECKSUMS))],
    data_home=[str, os.PathLike, None],
    download_if_missing=["boolean"],
    return_X_y=["boolean"],
    n_retries=[Interval(Integral, 0, None, closed="left")],
    delay=[Interval(Real, 0, None, closed="left")],
)
def fetch_movielens(
    name="latest-small",
    *,
    data_home=None,
    download_if_missing=True,
    return_X_y=False,
    n_retries=3,
    delay=1.0,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load film ratings of MovieLens, which are downloaded the first time.

    One row is one rating of a film by a user. The data are for research; their licence
    forbids redistribution, so they do not come with the package.

    ==============   =========   =====   ======   ===================================
    name               ratings   users    items   rating; tables
    ==============   =========   =====   ======   ===================================
    100k               100,000     943    1,682   1 to 5; users with age, occupation
    1m               1,000,209   6,040    3,883   1 to 5; users with age, occupation
    latest-small       100,836     610    9,742   0.5 to 5; users with their ids only
    ==============   =========   =====   ======   ===================================

    Parameters
    ----------
    name : {"100k", "1m", "latest-small"}, default="latest-small"
        The edition.
    data_home : str or path-like, default=None
        Folder of the data; the zip is kept in its subfolder `sktwotower_movielens`.
        None: scikit-learn's, see :func:`sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        If False, raise an OSError if the zip is not there, instead of downloading it.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of the Bunch.
    n_retries : int, default=3
        Number of further attempts after a failed download, >= 0.
    delay : float, default=1.0
        Seconds between two attempts, >= 0.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : DataFrame of shape (n_ratings, 4)
            The ratings in the order of the source, which published random splits
            refer to; it is not the order of time. Columns: `user` (int), `item` (int),
            `rating` (int; float for latest-small), `time` (datetime64[s], UTC).
        target : Series of shape (n_ratings,)
            The rating; `sktwotower.preprocessing.ratings_to_events` makes rewards of
            it. It is also a column of `data`, which must not be used as a feature.
        feature_names : list of 4 str
            The columns of `data`.
        user_table : DataFrame of shape (n_users, 5), or (n_users, 1) for latest-small
            Columns `user`, `age` (years; in 1m the lower end of a group, 1 for under
            18), `gender` ("F", "M"), `occupation` (str), `zip_code` (str).
        item_table : DataFrame of shape (n_items, 4)
            Columns `item`, `title`, `year` (float, from the end of the title; NaN if
            there is none), `genres` (str, such as "Action|Comedy"; empty if there are
            none). Some items have no rating.
        DESCR : str
            Description of the data with source, licence and citation, in reST.

    (data, target) : tuple if `return_X_y` is True
        The two entries described above.

    Raises
    ------
    ValueError
        If `name` is none of the editions.
    OSError
        If the zip is missing and cannot or must not be downloaded; if its checksum
        differs.

    Notes
    -----
    The SHA-256 checksum of the zip is verified whenever it is read. GroupLens may
    replace latest-small: only the edition of September 2018 is accepted.

    References
    ----------
    F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM
    Transactions on Interactive Intelligent Systems 5(4), 2015, doi:10.1145/2827872.

    Examples
    --------
    >>> from sktwotower.datasets import fetch_movielens
    >>> films = fetch_movielens("100k")  # doctest: +SKIP
    >>> first = films.data.head(3).merge(films.item_table)  # doctest: +SKIP
    >>> first[["user", "title", "rating"]]  # doctest: +SKIP
       user                       title  rating
    0   196                Kolya (1996)       3
    1   186    L.A. Confidential (1997)       3
    2    22         Heavyweights (1994)       1
    """
    path = Path(get_data_home(data_home)) / "sktwotower_movielens" / f"ml-{name}.zip"
    if not path.exists():
        if not download_if_missing:
            raise OSError(
                f"{path} is missing, and download_if_missing is False. Set it to True "
                f"to download {_BASE_URL + path.name}. {_by_hand(path)}."
            )
        _download(path, name, n_retries, delay)
    _verify(path, name, path, ". Delete it to download it again.")
    with ZipFile(path) as archive:
        ratings, users, items = _PARSERS[name](archive)
    ratings["time"] = ratings["time"].astype("datetime64[s]")
    items["year"] = items["title"].str.extract(_YEAR, expand=False).astype("float64")
    target = ratings["rating"].copy()
    if return_X_y:
        return ratings, target
    return Bunch(
        data=ratings,
        target=target,
        feature_names=_RATING_COLUMNS.copy(),
        user_table=users,
        item_table=items[["item", "title", "year", "genres"]],
        DESCR=(files(__package__) / "descr" / "movielens.rst").read_text("utf-8"),
    )


def _by_hand(path):
    """Return how to do without a download, as text."""
    return f"Or put {path.name} by hand into {path.parent}"


def _download(path, name, n_retries, delay):
    """Download the zip to `path`, or raise with a remedy."""
    url = _BASE_URL + path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    for trial in range(n_retries + 1):
        try:
            return _download_once(url, path, name)
        except (OSError, HTTPException) as error:
            if trial == n_retries:
                raise OSError(
                    f"{url} could not be downloaded in {trial + 1} attempts: {error}. "
                    f"Try again when it can be reached. {_by_hand(path)}, where it is "
                    "used even with download_if_missing=False."
                ) from error
            time.sleep(delay)


def _download_once(url, path, name):
    """Download and verify, then rename: `path` never holds a part of the file."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        with urlopen(url, timeout=_TIMEOUT) as source, part.open("wb") as file:
            shutil.copyfileobj(source, file)
        _verify(part, name, "the download")
        os.replace(part, path)


def _verify(path, name, what, remedy=""):
    """Raise if the file at `path` is not the published one."""
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != _CHECKSUMS[name]:
        raise OSError(
            f"{what} is broken or another edition: its SHA-256 checksum is {got}, "
            f"expected {_CHECKSUMS[name]}{remedy}"
        )


def _read(archive, member, sep, names):
    """Return one file of the zip 100k or 1m, which has neither header nor quotes."""
    text = archive.read(member).decode("latin-1")
    if sep == "::":  # pandas is many times faster with one character
        text = text.replace(sep, "\t")
        sep = "\t"
    return pd.read_csv(
        io.StringIO(text),
        sep=sep,
        names=names,
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
        dtype={"title": str, "zip_code": str},
    )


def _parse_100k(archive):
    """Return ratings, users and items of the edition 100k."""
    ratings = _read(archive, "ml-100k/u.data", "\t", _RATING_COLUMNS)
    users = _read(archive, "ml-100k/u.user", "|", _USER_COLUMNS)
    names = ["item", "title", "released", "video", "url", "unknown", *_GENRES_100K]
    items = _read(archive, "ml-100k/u.item", "|", names)
    has_genre = items[_GENRES_100K].to_numpy(bool)
    genres = ["|".join(pd.Index(_GENRES_100K)[row]) for row in has_genre]
    return ratings, users, items[["item", "title"]].assign(genres=genres)


def _parse_1m(archive):
    """Return ratings, users and items of the edition 1m."""
    ratings = _read(archive, "ml-1m/ratings.dat", "::", _RATING_COLUMNS)
    order = ["user", "gender", "age", "occupation", "zip_code"]
    users = _read(archive, "ml-1m/users.dat", "::", order)[_USER_COLUMNS]
    users["occupation"] = users["occupation"].map(dict(enumerate(_OCCUPATIONS_1M)))
    items = _read(archive, "ml-1m/movies.dat", "::", ["item", "title", "genres"])
    return ratings, users, items


def _parse_latest(archive):
    """Return ratings, users and items of the edition latest-small."""
    text = io.BytesIO(archive.read("ml-latest-small/ratings.csv"))
    ratings = pd.read_csv(text, names=_RATING_COLUMNS, header=0)
    text = io.BytesIO(archive.read("ml-latest-small/movies.csv"))
    names = ["item", "title", "genres"]
    items = pd.read_csv(text, names=names, header=0, keep_default_na=False)
    items["genres"] = items["genres"].replace("(no genres listed)", "")
    users = pd.DataFrame({"user": ratings["user"].sort_values().unique()})
    return ratings, users, items


_PARSERS = {"100k": _parse_100k, "1m": _parse_1m, "latest-small": _parse_latest}
