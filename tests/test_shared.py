"""A model that tests share is compared after each test: who changes it is named."""

import copy

import pytest
import torch

from tests.builders import readers, small

from .shared import Guard, once


@pytest.fixture(scope="module")
def model():
    return small().fit(readers())


@once
def remembered(seed):
    return small(random_state=seed).fit(readers())


def step_in_place(model):
    with torch.no_grad():
        next(model.net_.module_.parameters()).add_(1)


CHANGES = {
    "a parameter": lambda model: model.set_params(n_neighbors=3),
    "further events": lambda model: model.partial_fit(readers()),
    "a value of a tensor": step_in_place,
    "nothing": lambda model: model.recommend(["ann"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_named_once(change):
    guard, shared = Guard(), small().fit(readers())
    guard.watch_fixture("fitted", [shared, "something else"])
    CHANGES[change](shared)
    assert guard.changed(["fitted", "tmp_path"]) == ["fitted"] * (change != "nothing")
    assert guard.changed(["fitted"]) == []


def test_a_copy_may_be_changed(model):
    copy.deepcopy(model).set_params(n_neighbors=3).partial_fit(readers())


@pytest.mark.xfail(raises=pytest.fail.Exception, reason="the guard lets it fail")
def test_who_changes_what_a_fixture_returns_fails(model):
    model.set_params(n_neighbors=3)


@pytest.mark.xfail(raises=pytest.fail.Exception, reason="the guard lets it fail")
@pytest.mark.parametrize("time", ["first", "second"])
def test_who_changes_a_model_that_is_made_once_fails(time):
    remembered(0).set_params(n_neighbors={"first": 3, "second": 4}[time])
