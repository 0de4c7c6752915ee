"""Models of implicit, RecTools and LightFM in one report, as a page says."""

from pathlib import Path

import pytest

from sktwotower import EASERecommender
from tests.docs.test_guide import outputs

from .builders import needs

pytestmark = needs("rectools>=0.19", "rectools-lightfm")
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "compare.md"


@pytest.fixture(scope="module")
def page():
    """Return what the code of the page has named that is not a model."""
    names = {"__name__": "__main__"}
    with outputs.small(), outputs.empty_folder():
        for block in outputs.blocks(PAGE.read_text("utf-8")):
            before = names.get("report")
            outputs.printed(block, names, PAGE.name)
            if "baselines=tables" in block.code:
                assert names["report"] is not before
                names["of_others"] = names["report"]
    kept = "of_others", "train", "users", "tables"
    return {name: names[name] for name in kept}


@pytest.mark.filterwarnings("ignore")
def test_models_of_three_libraries_are_rows_of_one_report(page):
    report = page["of_others"].loc["all"]
    expected = ["EASERecommender", "popularity", "implicit", "RecTools", "LightFM"]
    assert report.index.tolist() == expected
    # they learnt something: lists of unrelated items have a hundredth of this
    assert (report["ndcg@20"] > 0.01).all()


@pytest.mark.filterwarnings("ignore")
def test_the_same_ease_of_two_libraries_ranks_alike(page):
    ours = EASERecommender(l2=500).fit(page["train"])
    ranked = ours.recommend(page["users"], 20)
    theirs = page["tables"]["RecTools"]
    same = set(zip(ranked["customer"], ranked["product"], strict=True)) & set(
        zip(theirs["user_id"], theirs["item_id"], strict=True)
    )
    assert len(same) > 0.95 * len(theirs)  # the rest are ties
