"""Losses of the user: what they must have, and when that is said."""

import copy

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback
from torch import nn

from sktwotower.towers import SampledSoftmaxLoss
from tests import losses
from tests.builders import batched, dated, ordered, random_events, small
from tests.cases import for_each
from tests.losses import MarginLoss

EVENTS = random_events()
SHOWN = (np.arange(len(EVENTS)) % 3 > 0).astype(float)


def given(loss, **params):
    """Return the parameters of a recommender with a loss."""
    return {"net_params": {"criterion": loss} | params}


class Seen(Callback):
    """Counts the batches of training."""

    def initialize(self):
        self.n_batches = 0
        return self

    def on_batch_end(self, net, **kwargs):
        self.n_batches += 1


# What is said at once


UNFIT = {
    "NoTemperature": "NoTemperature must have the attribute temperature.*log, fold-in "
    r"and files read. It has none. Set self.temperature = temperature",
    "NoWeight": r"NoWeight must accept temperature and impression_weight\. It lacks: "
    r"impression_weight \(how much rows with y = 0 count",
    "TextTemperature": "attribute temperature, a number > 0.*It is '0.15'",
    "LearntTemperature": "weights that are trained: log_scale.*partial_fit",
    "Unmade": r"Unmade cannot be made with temperature=0\.15, .*KeyError: 'scale'",
}


@for_each("name", UNFIT)
def test_what_a_loss_lacks_is_said_before_x_is_read(name):
    model = small(**given(getattr(losses, name)))
    with pytest.raises(ValueError, match=UNFIT[name]):
        model.fit("no such file.parquet")


@for_each("loss", [MarginLoss(0.1, 1.0), "softmax", None, nn.functional.mse_loss, dict])
def test_a_loss_must_be_a_class_of_torch(loss):
    message = r"must be a class that derives from torch.nn.Module.*criterion__margin=0"
    with pytest.raises(ValueError, match=message):
        small(**given(loss)).fit("no such file.parquet")


def test_losses_of_torch_lack_both():
    with pytest.raises(ValueError, match="It lacks: temperature .*; impression_weight"):
        small(**given(nn.MSELoss)).fit(EVENTS)


def test_an_unknown_parameter_of_a_loss_is_named():
    unknown = given(MarginLoss, criterion__slope=3)
    message = r"MarginLoss cannot be made with .*slope=3: TypeError: .*'slope'"
    with pytest.raises(ValueError, match=message):
        small(**unknown).fit("no such file.parquet")


FAILING = {
    "Failing": r"Failing failed before the first epoch, on users \(\d+, 8\), items "
    r"\(9, 8\) and the targets of \d+ requests.*RuntimeError",
    "PerUser": r"PerUser must return a tensor of shape \(\).*Got shape \(12,\)",
    "Detached": "Detached has no gradient",
    "NotFinite": "NotFinite is (inf|-inf|nan), or",
}


@for_each("name", FAILING)
def test_a_loss_that_fails_is_refused_before_the_first_epoch(name):
    seen = Seen().initialize()
    model = small(**given(getattr(losses, name)), callbacks=[seen])
    with pytest.raises(ValueError, match=FAILING[name]):
        model.fit(EVENTS)
    assert seen.n_batches == 0 and not model.__sklearn_is_fitted__()


def test_impressions_that_join_later_are_tried_before_the_first_epoch():
    seen = Seen().initialize()
    params = {"max_epochs": 4, "impression_start": 0.75, "callbacks": [seen]}
    params["impression_weight"] = 5.0
    model = small(**given(losses.FailsWithImpressions), **params)
    with pytest.raises(ValueError, match="with impressions: NotImplementedError"):
        model.fit(EVENTS, SHOWN)
    assert seen.n_batches == 0
    model.set_params(impression_weight=0).fit(EVENTS, SHOWN)  # they never join


def test_impressions_that_are_not_used_are_reported():
    with pytest.warns(UserWarning, match="the same with impressions as without"):
        small(**given(losses.IgnoresShown), impression_weight=5.0).fit(EVENTS, SHOWN)
    small(**given(MarginLoss), impression_weight=5.0).fit(EVENTS, SHOWN)


# What is trained with it


def test_a_loss_gets_its_parameters():
    params = {"temperature": 0.3, "impression_weight": 5.0}
    model = small(**given(MarginLoss, criterion__margin=0.4), **params)
    loss = model.fit(EVENTS).net_.criterion_
    assert (loss.temperature, loss.margin, loss.impression_weight) == (0.3, 0.4, 5.0)
    assert model.temperature_ == 0.3 and model.impression_weight_ == 5.0


class Ours(SampledSoftmaxLoss):
    """That of the package, in a class of the user."""


KINDS = {
    "pooled": batched,
    "in order": lambda **params: ordered(batch_size=5, **params),
    "sampled": lambda **params: batched(
        candidate_sampling="mixed", hidden_layer_sizes=(4,), id_dropout=0.7, **params
    ),
}


@pytest.mark.slow
@for_each("kind", KINDS)
def test_to_try_a_loss_changes_nothing(kind):
    events = dated(EVENTS.assign(when=np.arange(len(EVENTS)) % 20))
    vectors = []
    for loss in (SampledSoftmaxLoss, Ours):  # only the second is tried
        few = {"iterator_train__n_negatives": 4}
        model = KINDS[kind](**given(loss, **few)).fit(events, SHOWN)
        vectors.append(model.item_embeddings_)
        new = events.assign(when=events["when"] + pd.Timedelta("99D"))
        model.partial_fit(new[:20], SHOWN[:20])  # its stream goes on with batches
        vectors.append(model.item_embeddings_)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[1], vectors[3])


# Learning on


@pytest.fixture(scope="module")
def fitted():
    return small(**given(MarginLoss, criterion__margin=0.4)).fit(EVENTS)


def learns_on(model, way):
    if way == "partial_fit":
        return model.partial_fit(EVENTS[:9])
    return model.set_params(warm_start=True).fit(EVENTS)


WAYS = ["partial_fit", "warm_start"]


@for_each("way", WAYS)
def test_learning_on_without_the_loss_is_refused(fitted, way):
    model = copy.copy(fitted).set_params(net_params=None)
    before = model.recommend(["u1"])
    message = r"trained with the loss tests\.losses\.MarginLoss, and net_params names"
    with pytest.raises(ValueError, match=message):
        learns_on(model, way)
    pd.testing.assert_frame_equal(model.recommend(["u1"]), before)
    model.set_params(**given(MarginLoss))
    assert learns_on(model, way).net_.criterion is MarginLoss


@for_each("way", WAYS)
def test_learning_on_with_another_loss_is_reported(fitted, way):
    model = copy.copy(fitted).set_params(**given(losses.RenamedLoss))
    with pytest.warns(UserWarning, match="MarginLoss, and learns on with .*Renamed"):
        learns_on(model, way)


def test_a_fit_anew_takes_any_loss(fitted):
    model = copy.copy(fitted).set_params(net_params=None).fit(EVENTS)
    assert type(model.net_.criterion_) is SampledSoftmaxLoss


def test_an_unfit_loss_is_refused_in_partial_fit(fitted):
    model = copy.copy(fitted).set_params(**given(losses.NoWeight))
    with pytest.raises(ValueError, match="It lacks: impression_weight"):
        model.partial_fit(EVENTS)
