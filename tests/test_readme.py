"""The README: its code runs, with fewer epochs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def quick(code):
    """Shorten the training in example code."""
    quicker = code.replace(
        "TwoTowerRecommender(", "TwoTowerRecommender(max_epochs=1, embedding_dim=8, "
    )
    assert quicker != code, "nothing is trained"
    return quicker


def test_readme_example_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)
    names = {}
    exec(quick(code), names)
    # What its comments promise: a recall, five items a customer, and a new customer.
    assert 0 < names["recall"] < 1
    assert names["top"].groupby("customer").size().tolist() == [5, 5]
    assert len(names["new"]) == 10
    assert not set(names["new"]["product"]) & {"22423", "22699"}


def test_readme_commands_are_those_of_ci():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install '.[plot]' && python -m sktwotower" in readme
    assert "sphinx-build -W docs" in readme and "sphinx-build -q -W docs" in ci
    for command in re.findall(r"^pip install .*pytest$", readme, flags=re.MULTILINE):
        assert command in ci
        break
    else:
        pytest.fail("README has no test command")
