"""Metrics compared with those of ir-measures (trec_eval) and ranx, where installed."""

import warnings

import numpy as np
import pytest

from sktwotower import metrics

KS = [1, 5, 20, 30]
NAMES = {  # ours: that of ir-measures, that of ranx
    "recall": ("R", "recall"),
    "precision": ("P", "precision"),
    "ndcg": ("nDCG", "ndcg"),
    "average_precision": ("AP", "map"),
    "reciprocal_rank": ("RR", "mrr"),
    "hit_rate": ("Success", "hit_rate"),
}


def random_lists(seed, n_users=40, n_items=25):
    """Return relevant and ranked ids; some rankings are short, some are empty."""
    rng = np.random.default_rng(seed)
    items = np.array([f"i{item:02d}" for item in range(n_items)])
    truth = [rng.permutation(items)[: rng.integers(1, 12)] for _ in range(n_users)]
    lengths = rng.integers(0, n_items + 1, n_users)
    lengths[:3] = 0, 1, n_items
    ranked = [rng.permutation(items)[:length] for length in lengths]
    return [t.tolist() for t in truth], [r.tolist() for r in ranked]


def as_run(ranked):
    return {
        f"u{user:03d}": {item: 100.0 - place for place, item in enumerate(items)}
        for user, items in enumerate(ranked)
    }


def as_qrels(truth):
    return {f"u{user:03d}": dict.fromkeys(items, 1) for user, items in enumerate(truth)}


def ours(name, truth, ranked, k):
    """Return our metric of each user, divided as theirs is."""
    found = getattr(metrics, f"{name}_at_k")(truth, ranked, k, per_user=True)
    if name == "average_precision":  # theirs is divided by all relevant items
        n_relevant = np.array(list(map(len, truth)))
        found = found * np.minimum(k, n_relevant) / n_relevant
    return found


def by_ir_measures(qrels, run, k):
    """Return {our name: values of the users in order} by ir-measures."""
    library = pytest.importorskip("ir_measures")
    wanted = {getattr(library, theirs) @ k: name for name, (theirs, _) in NAMES.items()}
    found = {name: {} for name in NAMES}
    for value in library.iter_calc(list(wanted), qrels, run):
        found[wanted[value.measure]][value.query_id] = value.value
    return {
        name: np.array([values[user] for user in qrels])
        for name, values in found.items()
    }


def by_ranx(qrels, run, k):
    """Return the same by ranx, which wants a ranking to hold an item."""
    library = pytest.importorskip("ranx")
    run = {user: items or {"nothing": 1.0} for user, items in run.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: library.evaluate(
                library.Qrels(qrels),
                library.Run(run),
                f"{theirs}@{k}",
                return_mean=False,
            )
            for name, (_, theirs) in NAMES.items()
        }


def test_all_metrics_agree_user_by_user():
    for seed in range(3):
        for library in [by_ir_measures, by_ranx]:
            truth, ranked = random_lists(seed)
            for k in KS:
                theirs = library(as_qrels(truth), as_run(ranked), k)
                for name in NAMES:
                    found = ours(name, truth, ranked, k)
                    np.testing.assert_allclose(
                        found, theirs[name], atol=1e-6, err_msg=name
                    )


def test_equal_scores_are_ordered_by_who_ranks():
    """Ours are given ranks; trec_eval makes them, of equal scores by the last id."""
    truth, scores = [["a", "d"], ["b"]], [{"a": 1.0, "b": 1.0, "d": 0.5}, {}]
    scores[1] = {"a": 1.0, "b": 1.0, "c": 1.0}
    run = {f"u{user:03d}": each for user, each in enumerate(scores)}
    theirs = by_ir_measures(as_qrels(truth), run, 2)
    ranked = [sorted(each, reverse=True) for each in scores]
    ranked = [
        sorted(ids, key=lambda i, each=each: -each[i])
        for ids, each in zip(ranked, scores, strict=True)
    ]
    assert ranked == [["b", "a", "d"], ["c", "b", "a"]]
    for name in set(NAMES) - {"reciprocal_rank"}:  # that comes from another tool
        np.testing.assert_allclose(ours(name, truth, ranked, 2), theirs[name])


@pytest.mark.parametrize("library", [by_ir_measures, by_ranx])
def test_users_without_relevant_items_are_zero_there_and_left_out_here(library):
    truth, ranked = [["a"], []], [["a", "b"], ["a", "b"]]
    qrels = {"u000": {"a": 1}, "u001": {"a": 0}}
    theirs = library(qrels, as_run(ranked), 2)
    for name in NAMES:
        np.testing.assert_allclose(theirs[name][1], 0)
        mine = getattr(metrics, f"{name}_at_k")(truth, ranked, 2, per_user=True)
        assert np.isnan(mine[1]) and mine[0] == pytest.approx(theirs[name][0])
