"""A system in a file of somebody else takes part in the tables, as others do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _own_system  # noqa: E402

from tests.docs.test_guide import outputs  # noqa: E402

PAGE = ROOT / "docs" / "guide" / "compare.md"
TRAIN = pd.DataFrame(
    [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("cid", "ham"), ("bob", "ham")],
    columns=["user", "item"],
)


def of_page(tmp_path, start, end=None):
    """Return a file with the block that holds ``start``, as far as ``end``."""
    (code,) = (
        block.code
        for block in outputs.blocks(PAGE.read_text("utf-8"))
        if start in block.code
    )
    path = tmp_path / "mine.py"
    path.write_text(code.partition(end)[0] if end else code, "utf-8")
    return path


def test_the_function_of_the_page_ranks_what_users_lack(tmp_path):
    path = of_page(tmp_path, "def recommend(train, users, n)")
    model = _own_system.load(str(path)).kind().fit(TRAIN)
    held = pd.DataFrame({"user": ["cid", "bob"], "item": ["jam", "jam"]})
    ranking = model.rank_held_out(held, n_neighbors=3)
    ranked = [[model.item_ids_[i] for i in row if i >= 0] for row in ranking.indices]
    assert dict(zip(ranking.users, ranked, strict=True)) == {
        "bob": ["jam"],
        "cid": ["tea", "jam"],
    }


def test_a_class_with_a_plain_recommend_ranks(tmp_path):
    path = tmp_path / "mine.py"
    code = """class Mine:
    def fit(self, X):
        self.best = X["item"].unique().tolist()
        return self

    def recommend(self, users, k):
        return {user: self.best[:k] for user in users}
"""
    path.write_text(code, "utf-8")
    model = _own_system.load(str(path)).kind().fit(TRAIN)
    held = pd.DataFrame({"user": ["cid"], "item": ["jam"]})
    ranking = model.rank_held_out(held, n_neighbors=2)
    assert model.item_ids_[ranking.indices[0]].tolist() == ["tea", "jam"]
    with_grid = tmp_path / "grid.py"
    with_grid.write_text(f"{code}GRID = {{'a': [1]}}\n", "utf-8")
    with pytest.raises(ValueError, match="needs a class whose recommend"):
        _own_system.load(str(with_grid))


def test_items_of_train_take_no_place_in_the_lists_of_a_function(capsys):
    def recommend(train, users, n):
        lists = [(user, item) for user in users for item in ("tea", "ham", "jam")]
        return pd.DataFrame(lists)

    model = _own_system.of_function(recommend)().fit(TRAIN)
    assert (
        "5 items are left out: their user has them in train" in capsys.readouterr().out
    )
    ranked = model.item_ids_[model._best(np.array([0, 1]), 1).ravel()]
    assert ranked.tolist() == ["ham", "jam"]


@pytest.mark.parametrize(
    "code, message",
    [
        ("x = 1", "must define a function recommend.*with fit in it: none"),
        ("GRID = {'a': [1]}\ndef recommend(train, users, n): pass", "needs a class"),
    ],
)
def test_a_file_without_a_system_is_said(tmp_path, code, message):
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(ValueError, match=message):
        _own_system.load(str(path))


def test_a_function_that_returns_strangers_is_said():
    def recommend(train, users, n):
        return pd.DataFrame({"user": ["ann", "eve"], "item": ["ham", "tea"]})

    with pytest.raises(ValueError, match=r"1 of 2 rows .* first is \['eve', 'tea'\]"):
        _own_system.of_function(recommend)().fit(TRAIN)


def test_differences_are_those_of_the_same_users(capsys):
    figures = pd.DataFrame({"ndcg@10": [0.5, 1.0, 0.0], "recall@20": [0.5, 1.0, 0.0]})
    rows = [{"system": "EASE", "ndcg@10": 0.25, "recall@20": 0.5}]
    kept = {"EASE": np.array([0.25, 0.5, 0.0]), "of other users": np.zeros(2)}
    shown = ["ndcg@10", "recall@20"]
    _own_system.print_beside("mine.py", figures, rows, kept, shown)
    lines = capsys.readouterr().out.splitlines()
    mine, ease = (next(x for x in lines if x.startswith(n)) for n in ("mine", "EASE"))
    assert mine.split()[1:] == ["0.50", "0.5"]
    assert ease.split()[1:4] == ["0.25", "0.5", "+0.2500"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, more", [("bench_quality.py", "--systems"), ("bench_next.py", "--models")]
)
def test_the_class_of_the_page_is_measured_with_others(tmp_path, script, more):
    path = of_page(tmp_path, "class PureSVD", end="svd = PureSVD()")
    path.write_text(path.read_text().replace("TruncatedSVD(64", "TruncatedSVD(8"))
    options = ["--quick", "--only", "online-retail", "--system", path.name]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *options, more, "popularity"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = {
        line.split()[0]: line.split()[1:]
        for line in done.stdout.splitlines()
        if line.startswith(("mine ", "popularity "))
    }
    assert set(figures) == {"mine", "popularity"}
