"""No id, name or parameter becomes markup in what a notebook shows."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from sktwotower import (
    EASERecommender,
    PopularityRecommender,
    TowerVectorizer,
    TwoStageRecommender,
)
from sktwotower.metrics import retrieval_report
from tests.builders import small

from .ids import ODD

ATTACKS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</style><svg onload=alert(1)>",
    "'\"><b onclick='x'>",
    "--><iframe>",
    '<a href="javascript:x">&lt;b&gt;',
    "</td></tr></table><img/src/onerror=x>",
    "{{7*7}}${7*7}",
]
FORBIDDEN = {"img", "iframe"}


class Found(HTMLParser):
    """Collects what an attack would add to a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        bad = {"onerror", "onload"} & dict(attributes).keys()
        if tag in FORBIDDEN or bad or ("onclick", "x") in attributes:
            self.found.append((tag, attributes))

    def handle_data(self, data):
        if self.lasttag == "script" and "alert(1)" in data:
            self.found.append(("script", data))


def attacks(rng, n):
    """Return n distinct texts with markup."""
    odd = [*ATTACKS, *ODD, "\0", "\n"]
    return [f"{odd[i % len(odd)]}{odd[rng.integers(len(odd))]}{i}" for i in range(n)]


def shown(seed):
    """Yield objects with hostile ids, names of columns, levels and parameters."""
    rng = np.random.default_rng(seed)
    user, item, age, tags = attacks(rng, 4)
    users, items, levels = attacks(rng, 12), attacks(rng, 9), attacks(rng, 5)
    seen = np.unique(rng.integers([12, 9], size=(60, 2)), axis=0)
    X = pd.DataFrame(
        {user: [users[u] for u, _ in seen], item: [items[i] for _, i in seen]}
    )
    X[age] = [levels[u % 5] for u, _ in seen]
    X[tags] = [levels[i % 5] for _, i in seen]
    kinds = TowerVectorizer(kinds={age: "category"}, min_frequency=1)
    model = small(
        user_id=user,
        item_id=item,
        user_features=[age],
        item_features=[tags],
        user_transformer=kinds,
    )
    yield model
    yield model.fit(X)
    yield from (model.user_transformer_, model.user_transformer_.summary())
    yield model.recommend(users[:3], history={users[0]: items[:2]})
    yield model.similar_items(items[:2])
    yield from (model.seen_items(), model.explain(users[0], items[0]))
    yield model.feature_importance(X, groups={levels[0]: [age]})
    others = PopularityRecommender(), EASERecommender()
    baselines = {levels[i + 1]: each.fit(X) for i, each in enumerate(others)}
    yield retrieval_report(model, X, k=2, baselines=baselines)
    side = X[[user, age]].drop_duplicates(user)
    yield small(users=side).set_params(memory=levels[3])
    tree = DecisionTreeClassifier(random_state=0)
    stages = TwoStageRecommender(EASERecommender(), tree, context=[levels[4]])
    yield from (stages, EASERecommender().fit(X[[user, item]]))


def pages(thing):
    """Return all that a notebook may show of an object as HTML."""
    found = [thing._repr_html_()]
    if hasattr(thing, "_repr_mimebundle_"):
        found.append(thing._repr_mimebundle_().get("text/html", ""))
    return found


@pytest.mark.each_time("0")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore")
def test_no_text_becomes_markup(seed):
    n = 0
    for thing in shown(seed):
        assert repr(thing)
        for page in pages(thing):
            assert Found(page).found == [], type(thing)
            n += "&lt;" in page
    assert n >= 10  # the attacks are on the pages, as text


@pytest.mark.parametrize("attack", ATTACKS[:5])
def test_markup_would_be_found(attack):
    assert Found(f"<p>{attack}</p>").found
