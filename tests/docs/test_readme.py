"""The README: its code runs, with fewer epochs and events."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def examples():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_readme_example_runs(capsys):
    ((code, shown),) = examples()
    training = "TwoTowerRecommender(max_epochs=1, embedding_dim=8, "
    names = {}
    exec(code.replace("TwoTowerRecommender(", training), names)
    printed = capsys.readouterr().out.splitlines()
    # after one epoch other products are found: the header and the ranks are those shown
    assert printed[0].split() == shown.splitlines()[0].split()
    ranks = [line.split()[:2] for line in printed[1:]]
    assert ranks == [line.split()[:2] for line in shown.splitlines()[1:]]
    assert not set(names["top"]["product"]) & set(names["basket"]["new"])
