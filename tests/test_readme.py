"""The README: its code runs, with fewer epochs and events."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHORTER = {
    "TwoTowerRecommender(": "TwoTowerRecommender(max_epochs=1, embedding_dim=8, ",
    'shop.data[["customer", "product", "time"]]': (
        'shop.data[["customer", "product", "time"]].iloc[::4]'
    ),
    "n_iter=8": "n_iter=2",
    "load_online_retail().data": "load_online_retail().data.head(20_000)",
}


def quick(code):
    """Shorten the training in example code."""
    assert "TwoTowerRecommender(" in code, "nothing is trained"
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    return code


def examples():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_readme_example_runs():
    names = {}
    exec(quick(examples()[0]), names)
    # What its comments promise: a recall, five items a customer, and a new customer.
    assert 0 < names["recall"] < 1
    assert names["top"].groupby("customer").size().tolist() == [5, 5]
    assert len(names["new"]) == 10
    assert not set(names["new"]["product"]) & {"22423", "22699"}
    # The example of "What comes next" goes on from there.
    assert names["model"].history_kind_ == "recent"
    names["X_later"] = names["X"].iloc[names["test"]]
    exec(examples()[2], names)
    known = names["X_later"].loc[names["X_later"]["customer"] == 12782, "product"]
    assert len(names["top"]) == 10 and not set(names["top"]["product"]) & set(known)
    # "Retrieve, then rank"
    exec(quick(examples()[3]), names)
    assert len(names["top"]) == 20 and 0 <= names["model"].blend_ <= 1


@pytest.mark.slow
def test_readme_tunes_and_reports_in_25_lines(capsys):
    names, code = {}, examples()[1]
    assert len(code.splitlines()) <= 25
    exec(quick(code), names)
    assert set(names["search"].best_params_) == {"temperature", "embedding_dim"}
    models = ["TwoTowerRecommender", "popularity"]
    models += ["EASERecommender", "ItemKNNRecommender"]
    assert names["report"].loc["all"].index.tolist() == models
    assert "ndcg@10" in capsys.readouterr().out


def test_readme_commands_are_those_of_ci():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install '.[plot]' && python -m sktwotower" in readme
    assert "sphinx-build -W docs" in readme and "sphinx-build -q -W docs" in ci
    commands = re.findall(r"^pip install .*&& pytest.*$", readme, flags=re.MULTILINE)
    assert len(commands) == 1 and commands[0] in ci
