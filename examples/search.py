"""Search with words, for each user in their own order: the words are context.

Input: a table of user, words and item, one row for each purchase after a search, and a
table of items with descriptions. Here the purchases of the shipped shop.
Output: recall@10 of held-out searches by five ways to rank, and example searches.

The purchases are real, the searches are NOT: nobody recorded any, so for each purchase
words are drawn from the description of the product. Some are left out, some are those
of other products, their order is lost, and now and then a letter is. This favors the
comparison of text: in real searches are also words that no description has.

``python examples/search.py`` takes about a minute and a half of one core.
"""

import time

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import TimeSplit
from sktwotower.towers import RecentHistory

K = 10
QUERIES = "heart", "cake"


def make_queries(descriptions, left_out=0.5, of_others=0.1, typing=0.1, seed=0):
    """Return words (n,) that might be typed to find products of descriptions (n,)."""
    rng = np.random.default_rng(seed)
    words_of = {text: text.lower().split() for text in set(descriptions)}
    others = sorted({word for words in words_of.values() for word in words})
    queries = []
    for text in descriptions:
        words = words_of[text]
        kept = [word for word in words if rng.random() >= left_out]
        kept = kept or [words[rng.integers(len(words))]]
        for place, word in enumerate(kept):
            if rng.random() < of_others:
                word = others[rng.integers(len(others))]
            if len(word) > 3 and rng.random() < typing:
                lost = rng.integers(len(word))
                word = word[:lost] + word[lost + 1 :]
            kept[place] = word
        rng.shuffle(kept)
        queries.append(" ".join(kept))
    return queries


def searches(start="2011-10-15"):
    """Return purchases from a day on, each with its words, and the products."""
    shop = load_online_retail()
    events = shop.data.loc[shop.data["time"] >= start, ["customer", "product", "time"]]
    names = shop.products.set_index("product")["description"]
    return events.assign(words=make_queries(names[events["product"]])), shop.products


def split(events, n_requests=4000):
    """Return searches to learn from, and some of the last tenth, of known customers."""
    known = {"drop_unseen_users": True, "drop_unseen_items": True}
    columns = {"user_id": "customer", "item_id": "product", "time": "time"}
    train, test = next(TimeSplit(test_size=0.1, **columns, **known).split(events))
    test = events.iloc[test]
    return events.iloc[train], test.sample(min(n_requests, len(test)), random_state=0)


def fit(train, products, context=None, **params):
    """Return a model of who bought what and, with context, after which words."""
    settings = {
        "exclude_seen": False,  # what was bought before is searched for again
        "temperature": 0.05,  # words leave few products to choose from: sharp scores
        "time": "time",  # training then sees each search, not only some of each user
        "history": RecentHistory(second_share=0),
        "random_state": 0,
    }
    if context is not None:  # text, even if the same few searches come again and again
        settings["context"] = context
        settings["context_transformer"] = TowerVectorizer(kinds={context: "text"})
    return TwoTowerRecommender(
        user_id="customer", item_id="product", items=products, **settings | params
    ).fit(train)


def model_scores(model, requests, items):
    """Return cosines of requests, with their context, and items: (n_requests, n)."""
    return model.embed_users(requests) @ model.embed_items(items).T


def text_scores(words, descriptions, **params):
    """Return cosines of TF-IDF of words and descriptions: (n_requests, n)."""
    tfidf = TfidfVectorizer(sublinear_tf=True, **params).fit(descriptions)
    return (tfidf.transform(words) @ tfidf.transform(descriptions).T).toarray()


def found(scores, bought, k=K):
    """Return whether the item of each request, at positions (n,), is among the first k.

    Half of the items of the same score count as better ones.
    """
    own = scores[np.arange(len(bought)), bought][:, None]
    equal = (scores == own).sum(axis=1) - 1
    return (scores > own).sum(axis=1) + equal / 2 < k


def compare(train, test, products, k=K, **params):
    """Return the model with words, and the recall of each way to rank all products."""
    products = products[products["product"].isin(train["product"])]
    items, texts = products["product"].tolist(), products["description"]
    bought = pd.Index(items).get_indexer(test["product"])
    plain = fit(train, products, **params)
    model = fit(train, products, context="words", **params)
    counts = train["product"].value_counts().reindex(items).to_numpy()
    letters = text_scores(test["words"], texts, analyzer="char_wb", ngram_range=(2, 4))
    words = model_scores(model, test[["customer", "words"]], items)
    scores = {
        "popularity": np.tile(counts, (len(test), 1)),
        "model without words": model_scores(plain, test[["customer"]], items),
        "TF-IDF of words": text_scores(test["words"], texts),
        "TF-IDF of groups of letters": letters,
        "model with words": words,
        "sum of the last two": words + letters,
    }
    table = pd.DataFrame({name: found(s, bought, k) for name, s in scores.items()})
    pairs = pd.MultiIndex.from_frame(test[["customer", "product"]])
    again = pairs.isin(pd.MultiIndex.from_frame(train[["customer", "product"]]))
    parts = {"all": table, "bought before": table[again], "first": table[~again]}
    return model, pd.DataFrame({name: part.mean() for name, part in parts.items()})


def main():
    started = time.perf_counter()
    events, products = searches()
    train, test = split(events)
    print(
        "The purchases are real, their searches are not: words of the description of\n"
        "what was bought, some left out, replaced or misspelt. For example:"
    )
    names = products.set_index("product")["description"]
    for event in test.head(4).itertuples():
        print(f"  {event.words!r} for {names[event.product]}")
    model, recall = compare(train, test, products)
    print(
        f"\n{len(train):,} searches to learn from, {len(test):,} later ones to judge."
    )
    print(
        f"Among the first {K} of {len(model.item_ids_):,} products is what was bought:"
    )
    print(recall.to_string(float_format="{:.1%}".format))
    customers = test["customer"].value_counts().index[[0, 4]].tolist()
    had = model.seen_items(customers).groupby("customer")["product"].agg(set)
    for query in QUERIES:
        top = model.recommend(customers, 4, context={"words": query})
        for customer, first in top.groupby("customer", sort=False)["product"]:
            print(f"\n{query!r}, customer {customer} (* has bought it before):")
            for item in first:
                print(f"  {'*' if item in had[customer] else ' '} {names[item]}")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
