"""What was shown and chosen up to each row: the same as by a slow loop."""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.two_stage import _shown_counts as shown_counts
from sktwotower.two_stage._side_columns import Encoder
from tests.cases import for_each

LEVELS = pd.Index(["a", "b"], dtype=object)
ENCODERS = {"user": [Encoder("sex", LEVELS)], "item": [], "row": []}
ENCODERS["row"] = [Encoder("topic", LEVELS), Encoder("price", None)]
SPAN, PRIOR = 4.0, 20


def drawn(n=120, seed=0):
    """Draw rows of lists of three, some of them at two times."""
    rng = np.random.default_rng(seed)
    lists = np.arange(n) // 3
    starts = np.sort(rng.integers(0, 25, n // 3)).astype(float)[lists]
    times = starts + (np.arange(n) % 3 == 2) * rng.integers(0, 2, n)
    chosen = rng.random(n) < 0.4
    levels = {name: rng.integers(0, 2, n) for name in ("user__sex", "row__topic")}
    users = rng.integers(0, 5, n // 3)[lists]
    ids = pd.Index(rng.integers(0, 9, n)), pd.Index([f"u{user}" for user in users])
    amounts = np.column_stack([rng.choice([1.0, 0.5], n), chosen])
    return shown_counts.Showings(*ids, levels, times, starts, amounts)


def part(rows, kept):
    """Return some of the rows."""
    levels = {name: each[kept] for name, each in rows.levels.items()}
    return shown_counts.Showings(
        rows.items[kept], rows.users[kept], levels, *(each[kept] for each in rows[3:])
    )


def by_a_loop(rows):
    """Return the features of each row, counted over all rows before it."""
    items, users = np.array(rows.items), np.array(rows.users)
    sex, topic = rows.levels["user__sex"], rows.levels["row__topic"]
    everything, found = np.ones(len(items), bool), []

    def rate(kept, prior, weights=1.0):
        shown, chosen = (rows.amounts * np.reshape(weights, (-1, 1)))[kept].sum(0)
        return (chosen + PRIOR * prior) / (shown + PRIOR), np.log1p(shown)

    for at, now in enumerate(rows.times):
        earlier, by_start = rows.times < now, rows.starts < rows.starts[at]
        item, user = items == items[at], users == users[at]
        same = topic == topic[at]
        shown, chosen = rows.amounts[earlier].sum(0)
        mean = chosen / shown if shown else np.nan
        of_item = rate(item & earlier, mean)
        of_user = rate(user & by_start, mean)[0]
        row = {"": of_item}
        for name, share in shown_counts.HALF_LIVES.items():
            weights = 0.5 ** ((now - rows.times) / (SPAN * share))
            row[f"_{name}"] = rate(item & earlier, of_item[0], weights)
        for_sex = item & (sex == sex[at])
        row["_item_user__sex"] = rate(for_sex & earlier, of_item[0])
        row["_all_row__topic"] = rate(everything & same & earlier, mean)
        row["_item_row__topic"] = rate(item & same & earlier, of_item[0])
        own = rate(user & same & by_start, of_user)[0] - of_user
        row["_user_row__topic"] = (own,)
        # log odds of the item's rate less those of all; time since it was shown first
        odds = [np.log(p / (1 - p)) for p in (of_item[0], np.clip(mean, 1e-6, 1))]
        since = now - rows.times[item].min()
        pairs = {f"click_rate{name}": pair for name, pair in row.items()}
        rates = {name: pair[0] for name, pair in pairs.items()}
        rates |= {f"{name}_shown": p[1] for name, p in pairs.items() if len(p) == 2}
        rates |= {"click_rate_odds": odds[0] - odds[1], "shown_since": max(since, 0)}
        found.append(rates)
    return pd.DataFrame(found)


def test_features_are_those_of_strictly_earlier_rows():
    rows = drawn()
    found, counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    expected = by_a_loop(rows)[found.columns]
    assert len(found.columns) == 17
    assert found["click_rate"].isna().sum() == np.count_nonzero(rows.times == 0) > 0
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # the same after all of them, for further rows
    new = part(drawn(seed=1), slice(0, 30))
    new = new._replace(times=new.times + 40, starts=new.starts + 40)
    both = [pd.Index([*a, *b]) for a, b in zip(rows[:2], new[:2], strict=True)]
    levels = {n: np.append(rows.levels[n], new.levels[n]) for n in new.levels}
    others = (np.concatenate(pair) for pair in zip(rows[3:], new[3:], strict=True))
    together = shown_counts.Showings(*both, levels, *others)
    first = new.starts == new.starts[0]
    expected = by_a_loop(together)[found.columns][len(rows.times) :][first]
    assert_allclose(counts.features(new)[first], expected, rtol=1e-5, atol=1e-6)


@for_each("change", ["outcomes", "order", "leave"])
def test_the_future_changes_no_feature(change):
    rows, rng = drawn(), np.random.default_rng(0)
    before = rows.times < 12
    found, _ = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    order, amounts = np.arange(len(before)), rows.amounts.copy()
    if change == "outcomes":
        amounts[~before] = rng.permutation(amounts[~before])
    elif change == "order":
        order = rng.permutation(order)
    else:
        order = order[before]
    changed = part(rows._replace(amounts=amounts), order)
    again, _ = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(changed)
    again.index = order
    kept = order[before[order]]
    pd.testing.assert_frame_equal(again.loc[kept], found.loc[kept], rtol=1e-6)


def test_rows_of_one_time_do_not_see_each_other():
    # an item that is chosen by all who see it at one time, and by nobody before
    rows = drawn()
    at_once = rows._replace(times=np.full(120, 5.0), starts=np.full(120, 5.0))
    found, counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(at_once)
    of_shown = found.filter(like="shown")
    assert_array_equal(of_shown, 0)
    assert found.drop(columns=of_shown.columns).isna().all(axis=None)
    hot = rows.items == 3
    amounts = np.column_stack([np.ones(120), hot])
    later = at_once._replace(
        times=at_once.times + 1, starts=at_once.starts + 1, amounts=amounts
    )
    found, after = counts.count(later)
    cold, _ = counts.count(later._replace(amounts=np.ones((120, 2)) - [0, 1]))
    pd.testing.assert_frame_equal(found, cold)
    rates = after.features(later._replace(times=later.times + 1))["click_rate"]
    assert rates[hot].min() > found["click_rate"][hot].max()


def test_slices_count_as_one_pass():
    rows = drawn()
    whole, counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    parts, sliced = [], shown_counts.ShownCounts.empty(ENCODERS, SPAN)
    for now in np.unique(rows.times):
        found, sliced = sliced.count(part(rows, rows.times == now))
        parts.append(found.set_axis(np.flatnonzero(rows.times == now)))
    of_items = [name for name in whole if "_user_row" not in name]
    assert_allclose(pd.concat(parts).sort_index()[of_items], whole[of_items], rtol=1e-5)
    new = drawn(seed=2)._replace(times=np.full(120, 50.0))
    assert_allclose(sliced.features(new), counts.features(new), rtol=1e-5)


def test_rows_that_are_only_counted_count_as_much():
    rows = drawn()
    _, whole = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN)
    new = drawn(seed=2)._replace(times=np.full(120, 50.0))
    for n, now in enumerate(np.unique(rows.times)):
        counts = counts.plus(part(rows, rows.times == now))
        if n == 4:
            few = counts.features(new)
    assert_allclose(counts.features(new), whole.features(new), rtol=1e-5)
    assert not np.allclose(few, counts.features(new))
    # and so do further ones, with features of each
    later = drawn(seed=1)
    later = later._replace(times=later.times + 30, starts=later.starts + 30)
    for each, expected in zip(counts.count(later), whole.count(later), strict=True):
        if isinstance(each, shown_counts.ShownCounts):
            each, expected = each.features(new), expected.features(new)
        assert_allclose(each, expected, rtol=1e-5)
    left = counts.without_users(["u1"])
    assert "u1" not in left.users and len(left.users) == len(whole.users) - 1
    merged = counts.merged()
    assert not merged.newer_items and not merged.first.newer
    assert_array_equal(np.sort(merged.items), np.sort(whole.items))


def test_an_item_is_as_old_as_its_first_showing():
    rows = drawn()._replace(items=pd.Index(["a"] * 119 + ["b"]))
    found, counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    expected = rows.times - rows.times.min()
    expected[-1] = 0  # shown for the first time
    assert_allclose(found["shown_since"], expected, rtol=1e-6)
    asked = rows._replace(items=pd.Index(["b"] * 119 + ["c"]), times=rows.times + 7)
    expected = np.maximum(asked.times - rows.times[-1], 0)
    expected[-1] = 0
    assert_allclose(counts.features(asked)["shown_since"], expected, rtol=1e-6)


def test_new_items_have_the_rate_of_all_and_forgotten_users_leave():
    rows = drawn()
    _, counts = shown_counts.ShownCounts.empty(ENCODERS, SPAN).count(rows)
    shown, chosen = rows.amounts.sum(0)
    new = rows._replace(items=pd.Index(["zzz"] * 120))
    found = counts.features(new)
    for name in ("click_rate", "click_rate_recent", "click_rate_item_user__sex"):
        assert_allclose(found[name], chosen / shown, rtol=1e-6)
    left = counts.without_users(["u1", "nobody"])
    after, before = left.features(rows), counts.features(rows)
    gone = np.array(rows.users) == "u1"
    name = "click_rate_user_row__topic"
    assert before[name][gone].any()
    assert_array_equal(after[name][gone], 0)
    pd.testing.assert_frame_equal(after[~gone], before[~gone])
    others = before.columns.drop(name)
    pd.testing.assert_frame_equal(after[others], before[others])
    assert "u1" not in left.users


def test_columns_with_many_levels_are_not_counted_apart():
    many = Encoder("name", pd.Index([f"n{i:03}" for i in range(65)], dtype=object))
    few = [Encoder(f"c{i}", LEVELS) for i in range(5)]
    encoders = {"user": [many, *few], "item": [], "row": []}
    counts = shown_counts.ShownCounts.empty(encoders, 0)
    columns = [g.column for g in counts.groupings if g.column]
    assert columns == ["user__c0", "user__c1", "user__c2"]
    assert all(g.counts.half_life is None for g in counts.groupings)
