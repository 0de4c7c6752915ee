"""Thousands of damaged and forged files: refused, or as good as the original."""

import numpy as np
import pandas as pd
import pytest

from sktwotower.io import load

from .builders import MODELS, NAMES, assert_same_answers, contexts_of, file_of
from .mutations import DAMAGES, FORGERIES

VECTOR_DTYPES = "float32", "float16", "int8"


def answers(model, users):
    """Ask a model of a forged file; ordinary errors are allowed, a crash is not."""
    try:
        model.recommend(users, n_neighbors=3, exclude_seen=False)
        model.recommend(["new"], history={"new": model.item_ids_[:2].tolist()})
        model.predict(pd.DataFrame({"user": users[:1], "item": model.item_ids_[:1]}))
        for context in contexts_of(model):
            model.recommend(users, context=context)
    except Exception as error:
        return error
    return None


def check_damaged(name, change, seed, path):
    """Check that a damaged file is refused, or gives an equal model."""
    path.write_bytes(change(file_of(name), np.random.default_rng(seed)))
    try:
        model = load(path, mmap=bool(seed % 2))
    except ValueError as error:
        assert len(str(error)) > 20
        return True
    assert_same_answers(MODELS[name], model)
    return False


def check_forged(name, change, seed, path):
    """Check that a forged file is refused, or gives a model that does no harm."""
    dtype = VECTOR_DTYPES[seed % 5 % 3]
    path.write_bytes(change(file_of(name, dtype), np.random.default_rng(seed)))
    try:
        model = load(path, mmap=bool(seed % 2), verify=bool(seed % 3))
    except ValueError as error:
        assert len(str(error)) > 20
        return True
    answers(model, MODELS[name].user_ids_[:3].tolist())
    return False


def run(n, path, first_seed):
    """Check n files; return how many were refused."""
    n_refused = 0
    for seed in range(first_seed, first_seed + n):
        name = NAMES[seed % len(NAMES)]
        turn, is_damaged = divmod(seed // len(NAMES), 2)
        if is_damaged:
            change = DAMAGES[turn % len(DAMAGES)]
            n_refused += check_damaged(name, change, seed, path)
        else:
            change = FORGERIES[turn % len(FORGERIES)]
            n_refused += check_forged(name, change, seed, path)
    return n_refused


@pytest.mark.slow
def test_some_hundreds_of_files(tmp_path):
    n_refused = run(120, tmp_path / "model", first_seed=0)
    assert n_refused > 84


@pytest.mark.fuzz
@pytest.mark.slow  # also left out by -m "not slow"
def test_thousands_of_files(tmp_path):
    n_refused = run(10_000, tmp_path / "model", first_seed=1000)
    assert n_refused > 7000
