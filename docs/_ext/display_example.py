"""What the pictures of the reference show."""

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from sktwotower.datasets import load_online_retail, make_interactions
from sktwotower.model_selection import TimeSplit

shop = load_online_retail()
pair = ["customer", "product"]
X = shop.data[[*pair, "time"]].drop_duplicates(pair)
X = X[X["customer"] % 4 == 0]  # a quarter of the customers, to be quick
split = TimeSplit(0.2, time="time", drop_unseen_users=True, drop_unseen_items=True)
train, test = (X[pair].iloc[rows] for rows in next(split.split(X)))
model = TwoTowerRecommender(
    items=shop.products,
    users=shop.customers,
    embedding_dim=64,
    early_stopping=True,
    n_iter_no_change=30,
    random_state=0,
).fit(train)
baselines = [EASERecommender().fit(train), ItemKNNRecommender().fit(train)]
names = shop.products.set_index("product")["description"]
kind = names[model.item_ids_].str.extract("(CHRISTMAS|LUNCH|CARD|GARDEN|CANDLE)")[0]

made = make_interactions(400, 200, n_impressions=4, random_state=0)  # lists of five
rows = made.data.assign(page=made.data.groupby(["user", "time"]).ngroup())
past, later = rows[~made.test_mask], rows[made.test_mask]
clicked_in_past, clicked = made.target[~made.test_mask], made.target[made.test_mask]
ranker = TwoStageRecommender(
    EASERecommender(), time="time", lists="page", random_state=0
).fit(past, clicked_in_past)
