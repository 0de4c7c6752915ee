"""Arguments that a function does not have: which one was meant."""

import inspect
import pickle

import pytest
from sklearn.base import clone

import sktwotower
from sktwotower import io, runtime
from tests.builders import random_events, small

RECOMMENDERS = [
    getattr(sktwotower, name)
    for name in sktwotower.__all__
    if name.endswith("Recommender")
]


def test_a_call_shows_its_arguments_and_its_docstring():
    recommend = sktwotower.TwoTowerRecommender.recommend
    assert "n_neighbors" in inspect.signature(recommend).parameters
    assert "n_neighbors : int" in recommend.__doc__


def test_other_errors_of_calls_are_those_of_python():
    model = sktwotower.PopularityRecommender()
    with pytest.raises(TypeError, match="multiple values for argument 'X'"):
        model.recommend(["ann"], X=["bob"])
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        model.predict()


def test_the_message_is_that_of_python_with_a_hint():
    model = sktwotower.PopularityRecommender()
    expected = (
        r"recommend\(\) got an unexpected keyword argument 'k'. Did you mean 'n_ne"
    )
    with pytest.raises(TypeError, match=expected) as caught:
        model.recommend(["ann"], k=2)
    assert caught.value.__context__ is None
    with pytest.raises(TypeError, match="'zzz'. Arguments: 'X', 'n_neighbors'"):
        model.recommend(["ann"], zzz=2)


def test_fit_says_which_arguments_belong_to_the_constructor():
    towers, ease = sktwotower.TwoTowerRecommender, sktwotower.EASERecommender
    X = [["ann", "tea"], ["bob", "jam"]]
    for estimator, name, value, meant in [
        (towers, "epochs", 3, r"TwoTowerRecommender\(max_epochs=3\)"),
        (towers, "time", "when", r"TwoTowerRecommender\(time='when'\)"),
        (towers, "items", X, r"TwoTowerRecommender\(items=\.\.\.\)"),
        (ease, "regularization", 2, r"EASERecommender\(l2=2\)"),
    ]:
        expected = f"argument '{name}'. Pass it to the constructor: {meant}"
        with pytest.raises(TypeError, match=expected):
            estimator().fit(X, **{name: value})
    with pytest.raises(TypeError, match="Did you mean 'sample_weight'"):
        towers().fit(X, sample_weights=[1, 1])


def test_parameters_of_two_towers_by_other_names():
    meant_by = {
        "epochs": "max_epochs",
        "n_epochs": "max_epochs",
        "iterations": "max_epochs",
        "n_factors": "embedding_dim",
        "factors": "embedding_dim",
        "dim": "embedding_dim",
        "dims": "embedding_dim",
        "dimensions": "embedding_dim",
        "embedding_size": "embedding_dim",
        "embeding_dim": "embedding_dim",
        "learning_rate": "lr",
        "seed": "random_state",
        "metric": "normalize",
        "k": "n_neighbors",
        "top_k": "n_neighbors",
        "N_Neighbors": "n_neighbors",
        "timestamp": "time",
        "user_col": "user_id",
    }
    for name, meant in meant_by.items():
        found = f"argument {name!r}. Did you mean {meant!r}"
        with pytest.raises(TypeError, match=found):
            sktwotower.TwoTowerRecommender(**{name: 8})


def test_all_recommenders():
    for recommender in RECOMMENDERS:
        with pytest.raises(
            TypeError, match="'exclude_sen'. Did you mean 'exclude_seen'"
        ):
            recommender(exclude_sen=True)
        started = (
            rf"^{recommender.__name__}.__init__\(\) got an unexpected keyword argument"
        )
        with pytest.raises(TypeError, match=rf"{started} 'n'. Did you mean 'n_"):
            recommender(n=5)
        model = recommender(n_neighbors=7)
        names = set(inspect.signature(recommender).parameters)
        assert names == set(model.get_params(deep=False)) and "n_neighbors" in names
        for copied in (clone(model), pickle.loads(pickle.dumps(model))):
            assert copied.n_neighbors == 7
        for method in ("recommend", "kneighbors"):
            with pytest.raises(
                TypeError, match=rf"{method}\(\) got .* mean 'n_neighbors'"
            ):
                getattr(model, method)(["ann"], k=2)


def test_the_nearest_items_of_item_knn():
    with pytest.raises(TypeError, match="Did you mean 'n_similar'"):
        sktwotower.ItemKNNRecommender(k=20)
    with pytest.raises(TypeError, match="Did you mean 'similarity'"):
        sktwotower.ItemKNNRecommender(metric="cosine")
    with pytest.raises(TypeError, match="Did you mean 'l2'"):
        sktwotower.EASERecommender(reg=3.0)


def test_requests_of_the_estimator_and_of_the_runtime(tmp_path):
    model = small().fit(random_events())
    io.dump(model, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    for request, meant in [
        (lambda: model.recommend(["u1"], k=2), "n_neighbors"),
        (lambda: model.recommend(["u1"], filter_seen=True), "exclude_seen"),
        (lambda: model.recommend(users=["u1"]), "X"),
        (lambda: model.kneighbors_graph(["u1"], top_k=2), "n_neighbors"),
        (lambda: model.similar_items(["i1"], n=2), "n_neighbors"),
        (lambda: model.embed_users(["u1"], basket=["i1"]), "history"),
        (lambda: model.explain("u1", "i1", name={}), "names"),
        (lambda: served.recommend("u1", k=2), "n"),
        (lambda: served.recommend("u1", n_neighbors=2), "n"),
        (lambda: served.similar_items("i1", top_k=2), "n"),
        (lambda: served.score("u1", candidates=["i1"]), "items"),
        (lambda: served.embed("u1", session=["i1"]), "history"),
    ]:
        with pytest.raises(TypeError, match=f"Did you mean {meant!r}"):
            request()
