"""scikit-learn's own checks, searches, pipelines and routing around both stages."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoStageRecommender,
)
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit
from tests.builders import small
from tests.docstrings import entries, sections

from .builders import follows, stages


@pytest.mark.slow
@parametrize_with_checks(
    [
        TwoStageRecommender(retriever, **params)
        for retriever, params in (
            (small(), {}),
            (EASERecommender(), {"n_candidates": 5}),
            (ItemKNNRecommender(), {"exclude_seen": False}),
            (PopularityRecommender(), {"ranker": LogisticRegression()}),
        )
    ]
)
def test_sklearn(estimator, check):
    with warnings.catch_warnings():
        # the checks hand over random numbers as users, most of them unknown
        warnings.simplefilter("ignore", UserWarning)
        check(estimator)
