"""Code of a user, for type checkers to read: none of it is called.

A line that ends with ``type: ignore`` is wrong, and each checker must see that. mypy
knows scikit-learn's classes as Any, and so refuses no name of a method, and of few
parameters: that is left to pyright.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd

from sktwotower import (
    ClickRateRecommender,
    ContentRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TowerVectorizer,
    TwoStageRecommender,
    TwoTowerRecommender,
    io,
    runtime,
)
from sktwotower.datasets import fetch_movielens, load_online_retail, make_interactions
from sktwotower.metrics import make_retrieval_scorer, recall_at_k, retrieval_report
from sktwotower.model_selection import ColdItemSplit, LastNSplit, TimeSplit
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors
from sktwotower.towers import PooledHistory, RecentHistory, StreamingFrequency


class Boosted(TwoTowerRecommender):
    """A recommender of a user, with a parameter more."""

    def __init__(
        self,
        *,
        boost: float = 1.0,
        embedding_dim: int | str = 32,
        random_state: int | None = None,
    ) -> None:
        super().__init__(embedding_dim=embedding_dim, random_state=random_state)
        self.boost = boost

    def recommend_boosted(self, users: list[str]) -> pd.DataFrame:
        """Return recommendations whose scores are multiplied."""
        top = self.recommend(users)
        return top.assign(score=top["score"] * self.boost)


def constructors() -> list[Any]:
    """Return an object of each class, with values of each type that it takes."""
    best: dict[str, Any] = {"embedding_dim": 64, "history": None}
    return [
        TwoTowerRecommender(),
        TwoTowerRecommender(embedding_dim=64, max_epochs=12, batch_size=100),
        TwoTowerRecommender(
            embedding_dim="auto",
            max_epochs="auto",
            history=RecentHistory(half_life=None),
        ),
        TwoTowerRecommender(
            temperature=0.1, dropout=0, history=PooledHistory(second_share=0.5), lr=0
        ),
        TwoTowerRecommender(
            history=RecentHistory(half_life=pd.Timedelta("7D")),
            impression_weight="auto",
        ),
        TwoTowerRecommender(hidden_layer_sizes=(32, 16), neighbors=ExactNeighbors()),
        TwoTowerRecommender(user_id=0, item_id="item", checkpoint=Path("folder")),
        TwoTowerRecommender(optimizer="sgd", **best),
        TwoStageRecommender(TwoTowerRecommender(), n_candidates=50, time="time"),
        TowerVectorizer(kinds={"a": "id"}, min_frequency=0.01, n_hashed=1000),
        ContentRecommender(pd.DataFrame(), 50, normalize=False),
        EASERecommender(100, max_memory=1e9),
        ItemKNNRecommender(50, decay=0.9),
        RP3betaRecommender(50, beta=0.3),
        GraphFilterRecommender(64, alpha=0.1),
        OrderedRidgeRecommender(30.0, decay=2.0),
        PopularityRecommender(window=pd.Timedelta("7D"), time="time"),
        ClickRateRecommender(5, user_id=1),
        RepeatRecommender(half_life=pd.Timedelta("90D"), time="time"),
        NNDescentNeighbors(20, epsilon=0.2, random_state=np.random.RandomState(0)),
        StreamingFrequency(0.1, n_buckets=100),
        TimeSplit(100, time="time", gap=pd.Timedelta("1D")),
        TimeSplit(pd.Timedelta("7D"), time="time"),
        LastNSplit(0.5, n_splits=2),
        ColdItemSplit(10, random_state=0),
        make_retrieval_scorer(["recall@5", "ndcg@5"]),
        TwoTowerRecommender(embeding_dim=64),  # type: ignore
        TwoTowerRecommender(n_neighbors="ten"),  # type: ignore
        TimeSplit(test_size="day"),  # type: ignore
    ]


def answers(model: TwoTowerRecommender, users: list[str], path: Path) -> None:
    """Ask a model: an argument decides the type of the answer."""
    assert_type(model.fit(pd.DataFrame()).recommend(users), pd.DataFrame)
    assert_type(model.recommend(users, 5, history={"ann": ["tea"]}), pd.DataFrame)
    some = model.recommend(where={"price": (None, 10)}, max_per={"brand": 2})
    assert_type(some, pd.DataFrame)
    assert_type(model.recommend(users, path=path), None)
    assert_type(model.kneighbors(users, 5), tuple[np.ndarray, np.ndarray])
    assert_type(model.kneighbors(users, return_distance=False), np.ndarray)
    assert_type(Boosted(boost=2).fit(pd.DataFrame()), Boosted)
    model.recommend(users, hist={})  # type: ignore
    model.recommend(users, path=3)  # type: ignore
    model.recommendd(users)  # pyright: ignore


def figures(model: EASERecommender, events: pd.DataFrame) -> None:
    """Measure a model."""
    ranked = [["tea", "jam"]]
    assert_type(model.score(events), float)
    assert_type(recall_at_k([["tea"]], ranked, 2, truncated=True), float)
    assert_type(recall_at_k([["tea"]], ranked, per_user=True), np.ndarray)
    retrieval_report(model, events, k=5).to_csv("report.csv")
    recall_at_k([["tea"]], ranked, per_user=False).mean()  # type: ignore


def tables() -> None:
    """Load data sets."""
    shop = load_online_retail()
    X, y = load_online_retail(return_X_y=True, as_frame=False)
    EASERecommender().fit(shop.data, shop.target).fit(X, y)
    films, ratings = fetch_movielens("100k", return_X_y=True)
    films.merge(fetch_movielens().item_table)
    ratings.mean()
    EASERecommender().fit(make_interactions(100).data)


def files(path: Path) -> None:
    """Write and read a model; who reads it knows its class."""
    io.dump(EASERecommender(), path)
    model: EASERecommender = io.load(path)
    model.recommendd()  # pyright: ignore
    io.load(path).set_catalog([])
    answering = runtime.load(path)
    ids, scores = answering.recommend("ann", where={"color": "red"})
    assert_type(answering.seen("ann"), np.ndarray)
    scores.round(2)
    with io.LatestModel(path) as latest:
        latest.current.model.recommend(["ann"])
