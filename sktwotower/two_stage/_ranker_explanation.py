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
    chosen = (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # each set of groups once
    table = pd.DataFrame(np.tile(usual, (2**n, 1)), columns=own.index)
    for feature in differs:
        table.loc[chosen[:, names.index(groups[feature])] == 1, feature] = own[feature]
    scores = ranker.scores(table)
    sizes = chosen.sum(axis=1, keepdims=True)
    # Shapley value: a set of s groups is as likely as any other of s, and each s alike
    joins, leaves = 1 / np.maximum(sizes, 1), 1 / np.maximum(n - sizes, 1)
    signs = np.where(chosen, joins, -leaves) / comb(n, sizes)
    added = np.append(scores[0], signs.T @ scores)
    return rows_of_table(RANKER, ["(bias)", *names], np.full(n + 1, np.nan), added)
