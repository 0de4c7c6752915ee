"""The first example of the documentation runs, and its output is what it says."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "index.md"
SHORTER = {
    "TwoTowerRecommender(": "TwoTowerRecommender(max_epochs=3, embedding_dim=32, ",
    "n_neighbors=5": "n_neighbors=20",
}


def block(name):
    """Return the text of the block of code with a name."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- name: {name} -->\n\n```\w+\n(.*?)\n```", text, re.S)
    return found


@pytest.mark.slow
def test_the_first_example_finds_what_the_page_shows():
    code, output = block("first-example"), block("first-output").splitlines()
    for long, short in SHORTER.items():
        assert long in code
        code = code.replace(long, short)
    names = {}
    exec(code, names)
    assert output[0].split() == [*names["top"].columns, "description"]
    described = names["shop"].products.set_index("product")["description"]
    shown = [line.split(maxsplit=5) for line in output[1:]]
    assert [described[product] for _, _, product, *_ in shown] == [
        line[5].strip() for line in shown
    ]
    assert [int(line[4]) for line in shown] == [1, 2, 3, 4, 5]
    # with fewer epochs and smaller vectors, more than by chance are found again
    found = set(names["top"]["product"]) & {line[2] for line in shown}
    assert len(names["top"]) == 20 and len(found) >= 3
    # what the page says about the basket
    comment = re.search(r"# (.+)", code)[1]
    assert comment == ", ".join(described[names["basket"]])
