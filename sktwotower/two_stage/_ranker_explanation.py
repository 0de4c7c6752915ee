"""The explanation of a ranker's score by groups of features.

Input: features (n_features,) of a candidate, and the usual ones, in groups.
Output: rows of the table of `explain`, whose contributions add up to the score.
"""

import numpy as np
import pandas as pd
from scipy.special import comb

from sktwotower.retrieval._explained_score import RANKER, rows_of_table


def rows_of_ranker(ranker, own, usual, groups):
    """Return rows of the table of `explain` for the score of one candidate.

    ``ranker``: a ``FittedRanker``. ``own``, ``usual``: features, Series (n_features,).
    ``groups``: the group of each feature, a dict.
    """
    differs = own[own.ne(usual) & (own.notna() | usual.notna())].index
    names = list(dict.fromkeys(groups[feature] for feature in differs))
    n = len(names)
    # each set of groups once, in an order in which sets without one group correspond to
    # those with it
    chosen = (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1
    table = pd.DataFrame(np.tile(usual, (2**n, 1)), columns=own.index)
    for feature in differs:
        table.loc[chosen[:, names.index(groups[feature])], feature] = own[feature]
    scores = ranker.scores(table)
    sizes, added = chosen.sum(axis=1), [scores[0]]
    for joined in chosen.T:
        # Shapley value: all sizes of sets are as likely, and all sets of a size
        weights = 1 / ((n - sizes[~joined]) * comb(n, sizes[~joined]))
        added.append(weights @ (scores[joined] - scores[~joined]))
    return rows_of_table(RANKER, ["(bias)", *names], np.full(n + 1, np.nan), added)
