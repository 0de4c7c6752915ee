"""Files and pickles of other versions."""

import json
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest

import sktwotower
from sktwotower import PopularityRecommender, TowerVectorizer
from sktwotower.io import load
from sktwotower.neighbors import ExactNeighbors
from tests.cases import for_each
from tests.two_stage.builders import shown

from .builders import META, MODELS, dumped, forged, members_of
from .make_format_file import DATA, answers, format_of, format_of_now

FILES = sorted(DATA.glob("format_*/*.sktt"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


def with_version(path, **versions):
    """Write a file that says that it is of other versions."""
    members = members_of(dumped(MODELS["popularity"], path))
    data = forged(members, lambda meta: meta["versions"].update(versions))
    path.write_bytes(data)
    return path


def test_the_versions_are_in_the_file(path):
    meta = json.loads(members_of(dumped(MODELS["popularity"], path))[META])
    versions = meta["versions"]
    assert versions["sktwotower"] == sktwotower.__version__
    for library in ("numpy", "pandas", "scikit-learn", "scipy", "torch", "python"):
        assert re.match(r"\d+\.\d+", versions[library])


def with_format(path, number):
    """Write a file that says that its format has this number."""
    members = members_of(dumped(MODELS["popularity"], path))
    path.write_bytes(forged(members, lambda meta: meta.update(format_version=number)))
    return path


def test_there_are_files_of_every_format(tmp_path):
    formats = {path.parent.name for path in FILES}
    assert formats == {f"format_{n + 1}" for n in range(format_of_now(tmp_path))}


@for_each("path", FILES, ids=lambda path: path.parent.name + path.stem)
def test_files_of_every_format_are_read(path):
    """What to do if this fails is in CONTRIBUTING, "The format of files"."""
    assert path.parent.name == f"format_{format_of(path)}"
    expected = json.loads((path.parent / "answers.json").read_text())[path.stem]
    got = answers(load(path))
    assert len(got) == len(expected) > 0
    for numbers, others in zip(got, expected, strict=True):
        np.testing.assert_allclose(numbers, others, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lists", "click_rates"])
def test_counts_of_files_without_later_fields_go_on(name, path):
    read = load(DATA / "format_1" / f"{name}.sktt")
    events = shown(6, 1).assign(when=pd.Timestamp("2024-03-01"))
    asked = events[["user", "item", "when", "list"]]
    if name == "click_rates":
        asked = asked.drop(columns="list")
    before = read.predict(asked)
    read.update_counts(asked, events["y"])
    assert np.abs(read.predict(asked) - before).max() > 0.01
    sktwotower.io.dump(read, path)
    np.testing.assert_allclose(load(path).predict(asked), read.predict(asked))
    new = asked.assign(item="new")
    read.partial_fit(new, events["y"])
    assert np.isfinite(read.predict(new)).all()


@pytest.mark.parametrize("version", ["0.0.9", "10.3rc1+cpu"])
def test_files_of_other_versions_with_this_format_are_read(version, path):
    read = load(with_version(path, sktwotower=version, numpy="1.0"))
    pd.testing.assert_frame_equal(
        read.recommend(), MODELS["popularity"].recommend(), check_exact=True
    )


def test_files_of_a_later_format_are_refused_with_what_to_do(path):
    now = format_of_now(path.parent)
    later = now + 1
    message = (
        f"written by a later version, sktwotower .*: it has format {later}, and this "
        f"version, .*, reads {now}. Upgrade: pip install 'sktwotower>="
    )
    with pytest.raises(ValueError, match=message):
        load(with_format(path, later))


def test_formats_that_are_none(path):
    for number in (None, 0, 1.0, True, "1", []):
        with pytest.raises(ValueError, match="of the format must be an integer >= 1"):
            load(with_format(path, number))


def test_versions_that_are_none(path):
    for version in (None, 1, "", "one", "9" * 5000, "1.0'; ls"):
        with pytest.raises(ValueError, match="version"):
            load(with_version(path, sktwotower=version))


def test_what_is_wrong_in_a_file_is_said_with_its_name(path):
    members = members_of(dumped(MODELS["popularity"], path))
    data = forged(members, lambda m: m["model"]["parts"].pop("params"))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"'{path}' is damaged, .*: model must be a "):
        load(path)
    with pytest.raises(ValueError, match=f"'{path}' is damaged, .*: the number of"):
        load(with_format(path, 0))


def test_a_parameter_that_is_not_in_the_file_gets_its_default(path):
    members = members_of(dumped(MODELS["popularity"], path))
    data = forged(members, lambda m: m["model"]["parts"]["params"].pop("exclude_seen"))
    path.write_bytes(data)
    assert load(path).exclude_seen is True


# Pickles


ESTIMATORS = {
    "popularity": lambda: MODELS["popularity"],
    "two towers": lambda: MODELS["pooled"],
    "vectorizer": TowerVectorizer,
    "neighbors": ExactNeighbors,
}


@pytest.fixture(params=ESTIMATORS)
def model(request):
    return ESTIMATORS[request.param]()


def test_a_pickle_of_the_same_versions_is_read_without_a_warning(model, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joblib.dump(model, tmp_path / "model")
        for read in joblib.load(tmp_path / "model"), pickle.loads(pickle.dumps(model)):
            assert vars(read).keys() == vars(model).keys()


def test_a_pickle_of_other_versions_warns(model):
    version = sktwotower.__version__
    other = "9" + version[1:]
    data = pickle.dumps(model).replace(version.encode(), other.encode())
    with pytest.warns(UserWarning, match=f"written by.*sktwotower {other}.*is read by"):
        read = pickle.loads(data)
    assert read.get_params().keys() == model.get_params().keys()


def test_a_pickle_without_versions_is_read_with_a_warning():
    model = PopularityRecommender(n_neighbors=3)
    with pytest.warns(UserWarning, match="written by an unknown version"):
        PopularityRecommender().__setstate__(vars(model))
