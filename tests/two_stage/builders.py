"""Events in which the ranker finds what the retriever does not see."""

from sklearn.tree import DecisionTreeClassifier

from sktwotower import PopularityRecommender, TwoStageRecommender
from tests.builders import chain, dated

__all__ = ["follows", "stages"]


def follows(n_users=60, dates=False, **params):
    """Draw events in which the item that follows is known from the one before."""
    events = chain(n_users, n_items=30, **({"noise": 0.3} | params))
    return dated(events) if dates else events


def stages(retriever=None, ranker=None, **params):
    """Build a recommender that is fitted within milliseconds."""
    retriever = PopularityRecommender() if retriever is None else retriever
    if ranker is None:
        ranker = DecisionTreeClassifier(
            max_depth=3, min_samples_leaf=20, random_state=0
        )
    params = {"time": "when", "n_candidates": 25, "random_state": 0} | params
    return TwoStageRecommender(retriever, ranker, **params)
