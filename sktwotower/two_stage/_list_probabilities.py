"""Probabilities that items of lists are chosen, by scores of any scale.

Input: scores and outcomes (n_rows,) of lists that nothing was learnt from.
Output: a ``Calibration``, which turns scores into probabilities.
"""

from typing import NamedTuple

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from sktwotower._records import array, record, require

# With fewer rows a curve of two parameters is fitted, and kept at so many scores.
MIN_ROWS, N_KEPT = 1_000, 101


@record
class Calibration(NamedTuple):
    """The share of rows that were chosen, by score.

    Parameters
    ----------
    scores : float array of shape (n,)
        Ascending.
    shares : float array of shape (n,)
        Between two scores they are interpolated.
    """

    scores: array("float64", "n", is_finite=True)
    shares: array("float64", "n", is_finite=True)

    def _check_stored(self, place):
        scores, shares = self
        require(len(scores) > 0, f"{place}.scores", "at least one score")
        require((np.diff(scores) >= 0).all(), f"{place}.scores", "ascending")
        fits = (shares >= 0).all() and (shares <= 1).all()
        require(fits, f"{place}.shares", "shares in [0, 1]")

    @classmethod
    def of(cls, scores, chosen):
        """Return that of scores (n_rows,) of rows that were ``chosen``, bool."""
        if len(scores) >= MIN_ROWS:
            found = IsotonicRegression().fit(scores, chosen)
            return cls(found.X_thresholds_, found.y_thresholds_)
        kept = np.linspace(scores.min(), scores.max(), N_KEPT)
        scale = scores.std() or 1.0
        curve = LogisticRegression().fit(scores[:, None] / scale, chosen)
        return cls(kept, curve.predict_proba(kept[:, None] / scale)[:, 1])

    def rescaled(self, old, new):
        """Return that of scores with the mean and deviation of new ones, not old."""
        scores = (self.scores - old.mean()) * (new.std() / (old.std() or 1.0))
        return self._replace(scores=scores + new.mean())

    def at(self, scores):
        """Return the probabilities (n,) of scores (n,)."""
        return np.interp(scores, self.scores, self.shares)
