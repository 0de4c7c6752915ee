"""Losses of the user: files name them, and hold no code."""

import copy
import json
import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone

from sktwotower import TwoStageRecommender, io, runtime
from sktwotower.io import dump, load
from sktwotower.towers import SampledSoftmaxLoss
from tests.builders import first_fast, ordered, small
from tests.losses import MarginLoss

from .builders import (
    EVENTS,
    IN_ORDER,
    META,
    again,
    assert_same_answers,
    find,
    forged,
    members_of,
)

NAME = "tests.losses.MarginLoss"
PARAMS = {"criterion": MarginLoss, "criterion__margin": 0.4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.fixture(scope="module")
def model():
    return small(net_params=PARAMS, temperature=0.3).fit(EVENTS)


def refuses_to_learn(model):
    """Check that nothing is learnt, and that requests are answered as before."""
    message = r"loss tests\.losses\.MarginLoss, .*trusted=\['tests\.losses\.MarginLoss'"
    before = copy.copy(model)
    for call in (model.partial_fit, model.fit):
        with pytest.raises(ValueError, match=message):
            call(EVENTS)
    model.set_params(warm_start=True)
    with pytest.raises(ValueError, match=message):
        model.fit(EVENTS)
    assert_same_answers(model, before)


def test_a_loss_that_is_not_trusted_is_named_and_nothing_is_learnt(model, path):
    read = again(model, path)
    assert_same_answers(model, read)
    assert read.temperature_ == 0.3
    assert repr(read.net_params["criterion"]) == f"<loss {NAME}, not loaded>"
    assert read.net_params["criterion__margin"] == 0.4
    refuses_to_learn(read)
    with pytest.raises(ValueError, match=f"loss {NAME}.*cannot learn"):
        clone(read).fit(EVENTS)
    # a recommender without net_params would learn on with the loss of the package
    read.set_params(net_params=None, warm_start=False)
    with pytest.raises(ValueError, match=f"loss {NAME}.*cannot learn"):
        read.partial_fit(EVENTS)


@pytest.mark.parametrize(
    "trusted", first_fast([([NAME],), ([MarginLoss],), (["other.Type", NAME],)])
)
def test_a_trusted_loss_is_taken_back(trusted, model, path):
    read = again(model, path, load_params={"trusted": trusted})
    assert read.net_params == PARAMS
    loss = read.net_.criterion_
    assert type(loss) is MarginLoss and (loss.margin, loss.temperature) == (0.4, 0.3)
    expected = copy.copy(model).partial_fit(EVENTS)
    assert_same_answers(expected, read.partial_fit(EVENTS))


@pytest.mark.slow
def test_the_loss_can_be_set_after_loading(model, path):
    read = again(again(model, path), path)  # the name stays in a file of a file
    read.set_params(net_params={**read.net_params, "criterion": MarginLoss})
    expected = copy.copy(model).partial_fit(EVENTS)
    assert_same_answers(expected, read.partial_fit(EVENTS))
    trusting = again(read, path, load_params={"trusted": [NAME]})
    assert_same_answers(expected, trusting)


@pytest.mark.slow
def test_a_file_of_a_file_has_the_same_loss(model, path):
    read = again(again(model, path), path, load_params={"trusted": [NAME]})
    expected = copy.copy(model).partial_fit(EVENTS)
    assert_same_answers(expected, read.partial_fit(EVENTS))


def test_a_model_whose_parameters_name_no_loss_keeps_the_one_of_its_net(model, path):
    changed = copy.copy(model).set_params(net_params=None)
    refuses = again(changed, path)
    assert refuses.net_params is None
    with pytest.raises(ValueError, match=f"loss {NAME}.*cannot learn"):
        refuses.partial_fit(EVENTS)
    with pytest.raises(ValueError, match="names none"):
        load(path, trusted=[NAME]).partial_fit(EVENTS)


@pytest.mark.slow
def test_two_pairs_of_towers_and_two_stages_keep_the_loss(path):
    model = ordered(net_params=PARAMS).fit(IN_ORDER)
    read = again(model, path, load_params={"trusted": [NAME]})
    new = IN_ORDER[:9].assign(when=99)
    expected = copy.copy(model).partial_fit(new)
    assert_same_answers(expected, read.partial_fit(new))
    retriever = small(net_params=PARAMS)
    stages = TwoStageRecommender(retriever, time="when", n_candidates=5)
    with pytest.warns(UserWarning, match="No ranker was trained"):
        stages.fit(IN_ORDER)
    read = again(stages, path)
    assert_same_answers(stages, read)
    with pytest.raises(ValueError, match=f"loss {NAME}.*cannot learn"):
        read.partial_fit(new)


@pytest.mark.slow
def test_the_loss_of_the_package_needs_no_trust(path):
    model = small(net_params={"criterion": SampledSoftmaxLoss}).fit(EVENTS)
    read = again(model, path)
    assert read.net_params["criterion"] is SampledSoftmaxLoss
    assert_same_answers(copy.copy(model).partial_fit(EVENTS), read.partial_fit(EVENTS))


def test_an_estimator_that_is_not_fitted_names_its_loss(path):
    read = again(small(net_params=PARAMS), path)
    with pytest.raises(ValueError, match=f"loss {NAME}.*cannot learn"):
        read.fit(EVENTS)
    read = again(small(net_params=PARAMS), path, load_params={"trusted": [NAME]})
    assert read.net_params == PARAMS


def test_a_parameter_that_cannot_be_stored_is_named(path):
    class Scaled(MarginLoss):
        def __init__(self, scale=None, **params):
            super().__init__(**params)

    own = {"criterion": Scaled, "criterion__scale": len}
    model = small(net_params=own).fit(EVENTS)
    with pytest.raises(ValueError, match="'criterion__scale'.*cannot be written"):
        dump(model, path)
    assert not path.exists()
    # a class within a function has no name that can be imported
    model = small(net_params={"criterion": Scaled}).fit(EVENTS)
    assert_same_answers(model, again(model, path))
    name = f"{__name__}.{Scaled.__qualname__}"
    with pytest.raises(ValueError, match=r"cannot be imported.*trusted=\[Scaled\]"):
        load(path, trusted=[name])
    assert load(path, trusted=[Scaled]).net_params["criterion"] is Scaled


# What a file may do


MODULE = """
from tests.losses import MarginLoss

class Mine(MarginLoss):
    pass
"""


@pytest.mark.slow
def test_nothing_is_imported_unless_it_is_trusted(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_the_user.py").write_text(MODULE)
    from of_the_user import Mine

    model = small(net_params={"criterion": Mine}).fit(EVENTS)
    dump(model, path)
    monkeypatch.delitem(sys.modules, "of_the_user")
    read = load(path)
    load(path, trusted=["of_the_user.Other", MarginLoss])
    pytest.importorskip("skops.io").dumps(read)
    assert "of_the_user" not in sys.modules
    assert load(path, trusted=["of_the_user.Mine"]).partial_fit(EVENTS) is not None


def changed(model, path, change):
    """Write a model whose loss is another one in the file."""
    dump(model, path)

    def forge(meta):
        is_name = ("type", "towers.NamedLoss")
        for named, _ in find(meta, lambda *pair: pair == is_name):
            change(named["parts"])

    path.write_bytes(forged(members_of(path.read_bytes()), forge))


NO_LOSSES = [
    ("os", "system", r"os\.system, but that is not a class that derives from"),
    ("tests.losses", "Gone", "Gone, which trusted= names, cannot be imported: At"),
    ("no_such_module", "Loss", "cannot be imported: ModuleNotFoundError"),
    ("tests.losses", "NoWeight", "NoWeight cannot be made with the parameters in"),
]


def test_a_name_that_stands_for_no_such_loss_is_refused(model, path):
    for module, qualname, message in NO_LOSSES:
        named = {"module": module, "qualname": qualname}
        changed(model, path, lambda parts, named=named: parts.update(named))
        with pytest.raises(ValueError, match=message):
            load(path, trusted=[f"{module}.{qualname}"])
        assert_same_answers(model, load(path))


DAMAGES = [
    lambda loss: loss.update(name=3),
    lambda loss: loss.pop("params"),
    lambda loss: loss.update(params=[]),
    lambda loss: loss["params"]["keys"].__setitem__(0, "verbose"),
]


def test_a_damaged_loss_is_refused(model, path):
    for change in DAMAGES:
        dump(model, path)

        def forge(meta, change=change):
            net = meta["model"]["parts"]["state"]["_fitted"]["parts"]["net"]
            change(net["loss"])

        path.write_bytes(forged(members_of(path.read_bytes()), forge))
        with pytest.raises(ValueError, match="damaged"):
            load(path)


# Other readers and writers


@pytest.mark.slow
def test_a_process_that_serves_does_without_the_loss(model, path):
    dump(model, path)
    served = runtime.load(path)
    expected = model.recommend(["u1"], n_neighbors=4)
    assert served.recommend("u1", 4)[0].tolist() == expected["item"].tolist()
    # folded in, by the temperature
    expected = model.recommend(history={"somebody": ["i1", "i2"]}, n_neighbors=4)
    items, scores = served.recommend("somebody", 4, history=["i1", "i2"])
    assert items.tolist() == expected["item"].tolist()
    np.testing.assert_allclose(scores, expected["score"], atol=1e-6)


def test_the_file_holds_the_name_and_the_parameters(model, path):
    dump(model, path)
    text = members_of(path.read_bytes())[META].decode()
    assert '"MarginLoss"' in text and '"tests.losses"' in text
    net = json.loads(text)["model"]["parts"]["state"]["_fitted"]["parts"]["net"]
    assert "criterion__margin" in json.dumps(net["loss"])
    assert "criterion__margin" not in json.dumps(net["settings"])


def test_pickles_find_the_loss_by_its_name(model):
    read = pickle.loads(pickle.dumps(model))
    assert read.net_.criterion is MarginLoss
    expected = copy.copy(model).partial_fit(EVENTS)
    assert_same_answers(expected, read.partial_fit(EVENTS))


def test_a_pickle_of_a_model_without_its_loss_does_not_learn(model, path):
    read = pickle.loads(pickle.dumps(again(model, path)))
    refuses_to_learn(read)


@pytest.mark.slow
def test_skops_asks_for_the_loss(model, path):
    skops_io = pytest.importorskip("skops.io")
    skops_io.dump(model, path)
    types = skops_io.get_untrusted_types(file=path)
    assert NAME in types
    read = skops_io.load(path, trusted=types)
    expected = copy.copy(model).partial_fit(EVENTS)
    assert_same_answers(expected, read.partial_fit(EVENTS))


def test_the_latest_model_trusts_what_it_is_told_to(model, path):
    dump(model, path)
    for trusted, known in ([], False), ([NAME], True):
        with io.LatestModel(path, trusted=trusted, seconds=float("inf")) as latest:
            loss = latest.current.model.net_params["criterion"]
            assert (loss is MarginLoss) == known
