"""Global modes of torch change no answer: default dtype, inference mode, no_grad."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import retrieval_report
from tests.cases import for_each
from tests.recommender.builders import few

pytestmark = pytest.mark.slow


@contextmanager
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = {
    "float64": float64_by_default,
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
}
SETTINGS = {
    "hidden": {"hidden_layer_sizes": (6, 6), "dropout": 0.3, "early_stopping": True},
    "recent": {"time": "when", "candidate_sampling": "mixed"},
    "full": {"candidate_sampling": "full", "dropout": 0.3, "id_dropout": 0.3},
    "all": {
        "candidate_sampling": "in_batch",
        "net_params": {"iterator_train__correction": "all"},
    },
    "adamw": {"optimizer": "adamw", "history": None},
}


def answers(events, **params):
    """Return the answers of a recommender after fit and after partial_fit."""
    params = {"embedding_dim": 8, "max_epochs": 2, "random_state": 0} | params
    model = TwoTowerRecommender(n_neighbors=3, **params)
    shown = np.r_[np.ones(len(events) - 5), np.zeros(5)]
    model.fit(events, shown)
    more = pd.DataFrame({"user": ["u00", "new"], "item": ["i10", "i00"]})
    if "time" in params:
        more["when"] = len(events)
    found = []
    for learns_more in (False, True):
        if learns_more:
            model.partial_fit(more)
        found += [
            model.recommend(["u00", "u11"]),
            model.recommend(["stranger"], history={"stranger": ["i00", "i03"]}),
            model.predict(events),
            model.score(more),
            model.similar_items(["i02"]),
            model.kneighbors(return_distance=True)[0],
            model.explain("u00", "i00")["contribution"],
            model.item_embeddings_,
            retrieval_report(model, more, k=2),
        ]
    return found


@pytest.mark.each_time("hidden")
@pytest.mark.parametrize("setting", few(SETTINGS, 2))
def test_a_mode_of_torch_changes_no_answer(events, setting):
    if "time" in SETTINGS[setting]:
        events = events.assign(when=np.arange(len(events)))
    expected = answers(events, **SETTINGS[setting])
    for mode in MODES.values():
        with mode():
            found = answers(events, **SETTINGS[setting])
        for mine, theirs in zip(found, expected, strict=True):
            if isinstance(theirs, pd.DataFrame):
                pd.testing.assert_frame_equal(mine, theirs)
            else:
                np.testing.assert_array_equal(mine, theirs)


@for_each("mode", MODES)
@pytest.mark.parametrize("tower", few([nn.LazyLinear(8), lambda p: nn.Linear(p, 8)]))
def test_own_towers_are_trained_in_float32_in_any_mode(events, mode, tower):
    with MODES[mode]():
        model = TwoTowerRecommender(
            embedding_dim=8, max_epochs=2, user_tower=tower, random_state=0
        ).fit(events)
        model.partial_fit(events[:5])
        assert len(model.recommend(["u00"], n_neighbors=3)) == 3
    parameters = list(model.net_.module_.parameters())
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert not any(parameter.is_inference() for parameter in parameters)
