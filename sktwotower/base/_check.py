"""A check of recommenders: whether they have all that this package asks them for.

Input: a recommender of any library, which is not fitted.
Output: nothing, or an error that says in words what is missing.
"""

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._frames import as_frame
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids
from sktwotower.metrics._from_lists import seen_by_users
from sktwotower.metrics._scorers import make_retrieval_scorer
from sktwotower.retrieval._any_recommender import parameters_of, read_lists

# What each method must take.
METHODS = {
    "fit": ["X", "y"],
    "recommend": ["n_neighbors", "exclude_seen", "candidates"],
    "get_params": ["deep"],
}
# Events of users of the check, and the items of each.
N_USERS, N_ITEMS, N_CHOSEN = 12, 9, 4
# Names that no event has.
UNKNOWN = {"text": "a user without events", "int": -987_654}


def check_recommender(estimator, X=None, y=None) -> None:
    """Raise unless a recommender of any library has what this package asks it for.

    What passes is a first stage of `TwoStageRecommender`, is judged by
    `retrieval_report`, as the subject or a baseline, by scorers and by
    `prequential_validate`. Nothing of this package need be inherited.

    Parameters
    ----------
    estimator : recommender
        It is cloned, and fitted on a few events several times.
    X : DataFrame of shape (n_events, n_columns), default=None
        Events of the check, for a recommender that needs more columns than the user and
        the item. The estimator's parameters ``user_id`` and ``item_id`` name these;
        without them they are the first two. A user must have chosen two items at least,
        and not all. None: 48 events of 12 users, once with text and once with integers
        as ids.
    y : array-like of shape (n_events,), default=None
        Outcomes of X. None: all events are positive, and some are drawn that are not.

    Raises
    ------
    TypeError
        If the estimator is a class, or methods or their parameters are missing.
    ValueError
        If it answers otherwise than stated in the notes. The message says where.

    See Also
    --------
    RecommenderMixin : Adds ``score`` and ``rank_held_out``.

    Notes
    -----
    A recommender has these methods and attributes:

    - ``get_params`` and ``set_params`` of scikit-learn, as from `BaseEstimator`;
    - ``fit(X, y=None)``, which returns the estimator. X is a DataFrame with one row per
      event. With y, rows with y = 0 were shown, and not chosen. If it also takes
      ``sample_weight``, it gets weights;
    - ``item_ids_`` after fit: the ids of the catalog, distinct;
    - ``recommend(users, n_neighbors=10, *, exclude_seen=True, candidates=None)``, which
      returns a DataFrame with one row per item of a list. Its first two columns are the
      user and the item; it has the columns ``score``, which falls within a list, and
      ``rank``, from 1. ``users`` is an array of distinct ids. ``exclude_seen`` leaves
      out what a user chose in fit. ``candidates`` are ids of the only items that may be
      in the lists. Lists may be shorter than ``n_neighbors``, and the same call always
      returns the same. Unknown users are no error: they have no rows, or those that the
      model finds best for strangers.

    It may have more:

    - ``seen_items()`` returns a DataFrame of the user and the item of all pairs that
      were chosen in fit. Reports need it for popularity and for groups of users, and
      for the right answer if an item is chosen again;
    - ``predict(X)`` returns a score for each row of X. Without it, two stages ask for
      lists of all items in question;
    - ``partial_fit(X, y=None)`` learns further events;
    - ``user_id``, ``item_id``, ``exclude_seen`` and ``n_neighbors`` are read if they
      are attributes.

    Examples
    --------
    >>> from sktwotower import EASERecommender
    >>> from sktwotower.base import check_recommender
    >>> check_recommender(EASERecommender())
    >>> from sklearn.linear_model import LinearRegression
    >>> check_recommender(LinearRegression())
    Traceback (most recent call last):
    ...
    TypeError: LinearRegression is no recommender: it has no recommend.
    """
    _check_methods(estimator)
    if X is not None:
        _Check(estimator, X, y).run()
        return
    for kind in ("text", "int"):
        _Check(estimator, *_drawn_events(kind)).run()


def _check_methods(estimator):
    """Raise ``TypeError`` if methods are missing, or parameters of theirs."""
    if isinstance(estimator, type):
        raise TypeError(
            f"Expected a recommender, got the class {estimator.__name__}. Pass "
            f"{estimator.__name__}()."
        )
    lacks = []
    for method, parameters in METHODS.items():
        if not callable(getattr(estimator, method, None)):
            lacks.append(f"it has no {method}")
            continue
        taken = parameters_of(estimator, method)
        missing = [name for name in parameters if name not in taken]
        if missing:
            lacks.append(f"its {method} has no parameter {' and no '.join(missing)}")
    if lacks:
        name = type(estimator).__name__
        raise TypeError(f"{name} is no recommender: {', and '.join(lacks)}.")


def _drawn_events(kind):
    """Return events X and outcomes y, of ids that are "text" or "int"."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        # each half of the users likes another half of the items most
        favors = np.where(np.arange(N_ITEMS) % 2 == user % 2, 4.0, 1.0)
        shares = favors / favors.sum()
        chosen = rng.choice(N_ITEMS, N_CHOSEN, replace=False, p=shares)
        rows += [(user, item) for item in chosen]
    X = pd.DataFrame(rows, columns=["user", "item"])
    if kind == "text":
        for name in X:
            X[name] = f"{name} " + X[name].astype(str)
    else:
        X = X + [100, 1_000]
    # one item of the first user was shown only
    y = np.ones(len(X))
    y[0] = 0
    return X, y


class _Check:
    """One run of all checks, on events X with outcomes y."""

    def __init__(self, estimator, X, y):
        self.name = type(estimator).__name__
        self.estimator = estimator
        self.X = as_frame(X, "X").reset_index(drop=True)
        self.y = np.ones(len(self.X))
        if y is not None:
            self.y = np.asarray(y, dtype=float)
        self.columns = []
        for place, parameter in enumerate(("user_id", "item_id")):
            key = getattr(estimator, parameter, None)
            if key is not None:
                place = place_of(self.X, key)
            self.columns.append(self.X.columns[place])
        pairs = self.X[self.columns].set_axis(["user", "item"], axis=1)
        self.chosen = pairs[self.y > 0].drop_duplicates()
        self.shown = pairs[self.y == 0].drop_duplicates()
        self.users = pd.unique(self.chosen["user"])

    def require(self, condition, text):
        """Raise ``ValueError`` unless a condition holds."""
        if not condition:
            raise ValueError(f"{self.name} is no recommender yet: {text}")

    def run(self):
        """Make all checks, one after the other."""
        self.check_fit()
        self.check_lists()
        self.check_seen()
        self.check_candidates()
        self.check_unknown_users()
        self.check_more()
        self.check_held_out()

    def check_fit(self):
        """Fit a clone; its catalog must be that of X, and X as before."""
        model = clone(self.estimator)
        fitted_before = True
        try:
            check_is_fitted(model)
        except NotFittedError:
            fitted_before = False
        text = "check_is_fitted takes it for fitted before fit."
        self.require(not fitted_before, text)
        before = self.X.copy()
        self.model = model.fit(self.X, self.y)
        self.require(self.model is model, "fit must return the estimator, self.")
        self.require(self.X.equals(before), "fit must not change X.")
        check_is_fitted(model)
        text = "fit must keep the ids of the catalog as item_ids_."
        self.require(hasattr(model, "item_ids_"), text)
        self.items = check_ids(model.item_ids_, f"item_ids_ of {self.name}")
        text = "item_ids_ must hold each id once."
        self.require(self.items.is_unique and len(self.items), text)
        known = self.items.isin(self.chosen["item"])
        text = (
            "item_ids_ holds no item of X. Are ids kept as they are, with their type?"
        )
        self.require(known.any(), text)

    def lists(self, users, n_neighbors, **options):
        """Return the lists of users, a table of user, item and score, after checks."""
        users = np.asarray(users)
        table = self.model.recommend(users, n_neighbors=n_neighbors, **options)
        owners = pd.Index(users)
        rows, positions, scores = read_lists(self.model, table, owners, self.items)
        found = pd.DataFrame({"row": rows, "user": owners[rows], "score": scores})
        found["item"] = self.items[positions]
        twice = found.duplicated(["user", "item"])
        text = (
            f"recommend lists an item twice for a user: {list(found['item'][twice])}."
        )
        self.require(not twice.any(), text)
        longest = found.groupby("row").size().max()
        if found.empty:
            longest = 0
        asked = f"n_neighbors={n_neighbors}"
        text = f"recommend returned {longest} items for a user, with {asked}."
        self.require(longest <= n_neighbors, text)
        falls = found.groupby("row")["score"].diff().fillna(0) <= 0
        self.require(falls.all(), "scores of recommend must fall within a list.")
        table = as_frame(table, "lists")
        ranks = table.groupby(table.columns[0])["rank"].agg(["min", "max", "size"])
        fits = (ranks["min"] == 1) & (ranks["max"] == ranks["size"])
        self.require(fits.all(), "ranks of recommend must be 1, 2, ... in each list.")
        return found.sort_values("row", kind="stable").reset_index(drop=True)

    def check_lists(self):
        """Ask for lists of known users, at once and one by one, short and long."""
        n = len(self.items)
        longest = self.lists(self.users, n, exclude_seen=False)
        self.require(len(longest), "recommend returns no items for any user of X.")
        again = self.lists(self.users, n, exclude_seen=False)
        text = "the same call of recommend must return the same."
        self.require(longest.equals(again), text)
        short = self.lists(self.users, 2, exclude_seen=False)
        head = longest[longest.groupby("row").cumcount() < 2]
        text = "lists of two items must be the beginnings of longer ones."
        self.require(list(short["item"]) == list(head["item"]), text)
        user = self.users[-1]
        single = self.lists([user], n, exclude_seen=False)["item"]
        text = "a user must get the same list when asked for with others and without."
        theirs = longest["item"][longest["user"] == user]
        self.require(list(single) == list(theirs), text)
        wrong = True
        try:
            self.model.recommend(self.users, n_neighbors=0)
        except (TypeError, ValueError):
            wrong = False
        self.require(not wrong, "n_neighbors=0 must raise ValueError.")
        self.longest = longest

    def check_seen(self):
        """Ask for lists without what users chose; what was only shown may be there."""
        unseen = self.lists(self.users, len(self.items), exclude_seen=True)
        both = unseen.merge(self.chosen, on=["user", "item"])
        items = format_ids(both["item"].unique(), 2)
        text = "exclude_seen=True must leave out what a user chose in fit, such as"
        self.require(len(both) == 0, f"{text} {items}.")
        shown = self.shown.merge(self.chosen, how="left", indicator=True)
        shown = shown[shown["_merge"] == "left_only"][["user", "item"]]
        listed = self.longest.merge(shown, on=["user", "item"])
        hidden = listed.merge(unseen, how="left", on=["user", "item"], indicator=True)
        text = "exclude_seen=True must not leave out items with y = 0: they were shown"
        self.require((hidden["_merge"] == "both").all(), f"{text}, and not chosen.")

    def check_candidates(self):
        """Ask for lists of a few items only."""
        few = self.items[1::2].to_numpy()
        options = {"exclude_seen": False, "candidates": few}
        found = self.lists(self.users, len(self.items), **options)
        others = found["item"][~found["item"].isin(few)]
        text = "with candidates, recommend must list no others, such as"
        self.require(len(others) == 0, f"{text} {format_ids(others.unique(), 2)}.")
        expected = self.longest[self.longest["item"].isin(few)]
        text = "candidates must be in the order that they have in lists of all items."
        fits = len(expected) == len(found)
        fits = fits and list(expected["item"]) == list(found["item"])
        self.require(fits, text)

    def check_unknown_users(self):
        """Ask for a user without events, next to a known one."""
        is_text = isinstance(self.users[0], str)
        unknown = UNKNOWN["int"]
        if is_text:
            unknown = UNKNOWN["text"]
        user = self.users[0]
        try:
            found = self.lists([unknown, user], len(self.items), exclude_seen=False)
        except (IndexError, KeyError) as error:
            text = f"a user that fit has not seen is no error. Got {error!r}."
            self.require(False, text)
        theirs = list(self.longest["item"][self.longest["user"] == user])
        text = "next to an unknown user, a known one must get the same list."
        self.require(list(found["item"][found["user"] == user]) == theirs, text)

    def check_more(self):
        """Check the methods that a recommender may have."""
        model = self.model
        if hasattr(model, "seen_items"):
            known = seen_by_users(model, self.items)
            rows, columns = known["seen"].nonzero()
            pairs = {"user": known["user_ids"][rows], "item": self.items[columns]}
            found = set(pd.DataFrame(pairs).itertuples(index=False, name=None))
            chosen = self.chosen[self.chosen["item"].isin(self.items)]
            expected = set(chosen.itertuples(index=False, name=None))
            text = "seen_items must return the pairs of X that were chosen, y > 0."
            self.require(found == expected, text)
        if hasattr(model, "predict"):
            scores = np.asarray(model.predict(self.X))
            fits = scores.shape == (len(self.X),) and np.isfinite(scores).all()
            self.require(
                fits, "predict must return one finite score for each row of X."
            )
        if hasattr(model, "partial_fit"):
            before = self.items
            other = clone(model).fit(self.X, self.y)
            result = other.partial_fit(self.X[-2:])
            text = "partial_fit must return the estimator, self."
            self.require(result is not None, text)
            now = check_ids(model.item_ids_, "item_ids_")
            text = "partial_fit of a clone must leave the estimator as it is."
            self.require(now.equals(before), text)

    def check_held_out(self):
        """Let a scorer judge it by the events of fit."""
        model = clone(self.estimator).fit(self.X, self.y)
        scorer = make_retrieval_scorer("recall", k=len(self.items))
        recall = scorer(model, self.X, self.y)
        self.require(0 <= recall <= 1, f"its recall is {recall}.")


def place_of(X, key):
    """Return the position of a column by its name, or the position itself."""
    if key in X.columns:
        return list(X.columns).index(key)
    return key
