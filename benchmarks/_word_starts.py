"""Words of new articles: one change of the model at a time, on validation data.

Input: an ``Articles`` of the validation part, the table of articles.
Output: rows of figures by change and seed.
"""

from contextlib import contextmanager

import numpy as np
from _articles import rows_of_words
from _text_vectors import profile_scores

from sktwotower.towers.parts import _start

DEFAULTS, WITH_PROFILE = "defaults", "defaults and a quarter of the content profile"
AT_RANDOM = {"MIN_WIDTH": np.inf}
HIDDEN = "iterator_train__feature_dropout"
# What is set in the module of the weights to start from, and parameters of ours.
CHANGES = {
    DEFAULTS: ({}, {}),
    "words start near zero": (AT_RANDOM, {}),
    "steps of words 0.01 times as long": ({"SHARED_COLUMN_RATE": 0.01}, {}),
    "steps of words 0.1 times as long": ({"SHARED_COLUMN_RATE": 0.1}, {}),
    "steps of words 0.3 times as long": ({"SHARED_COLUMN_RATE": 0.3}, {}),
    "steps of words as long as others": ({"SHARED_COLUMN_RATE": 1.0}, {}),
    "embedding_dim 512": ({}, {"embedding_dim": 512}),
    "embedding_dim 512, words start near zero": (AT_RANDOM, {"embedding_dim": 512}),
    "max_epochs 60": ({}, {"max_epochs": 60}),
    "id_dropout 0.8": ({}, {"id_dropout": 0.8}),
    "feature_dropout 0.2": ({}, {"net_params": {HIDDEN: 0.2}}),
}
# Changes whose differences are small next to those of seeds.
WITH_SEEDS = DEFAULTS, "words start near zero"
WEIGHT = 0.25


@contextmanager
def replaced(values):
    """Set names of the module of the weights to start from, in the block."""
    before = {name: getattr(_start, name) for name in values}
    vars(_start).update(values)
    yield
    vars(_start).update(before)


def scaled(scores):
    """Return scores (n_users, n) divided by their standard deviation by user."""
    return scores / np.maximum(scores.std(axis=1, keepdims=True), 1e-12)


def rows_of_changes(part, items, own):
    """Yield a row for each change and seed; ``own.change`` chooses some."""
    profiles = profile_scores(part, items, rows_of_words(items))
    profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-12)
    for change, (values, params) in CHANGES.items():
        if own.change and change not in own.change:
            continue
        for seed in range(own.seeds if change in WITH_SEEDS else 1):
            with replaced(values):
                table = items[["item", "words"]]
                scores, seconds = part.scores_of_ours(table, seed, **params)
            row = {"system": change, "seed": seed}
            yield row | {"fit_s": seconds} | part.figures(scores)
            if change == DEFAULTS:
                both = scaled(scores) + WEIGHT * scaled(profiles)
                yield {"system": WITH_PROFILE, "seed": seed} | part.figures(both)
