"""Does the log of one policy say what another one earned?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_policy_value.py``. It needs obp 0.4.1,
with old requirements: ``pip install --no-deps obp==0.4.1 mypy_extensions pyieoe`` and
``seaborn``. The package brings small logs of a fashion shop's page, 10,000 items each:
one of random items, one of Thompson sampling (Open Bandit Data, campaign "all"). From
each log the value of the other policy is estimated, the clicks per item shown, by
`off_policy_value` and by obp's estimators. The other log says what that policy earned.

Failure: an estimate differs from that of obp by more than rounding, or an interval does
not overlap with that of what the policy earned.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from _common import machine, write_results
from _quick import assert_claims, parse_options

from sktwotower.metrics import off_policy_value

CAMPAIGN = "all"
N_ITEMS = 80
N_PLACES = 3
# Pages that are drawn to learn how probable an item is at a place.
N_SIMULATED = 100_000
COLUMNS = {"item_id": "item", "click": "reward", "propensity_score": "propensity"}


def read_log(policy):
    """Return the log of a policy, a row for each item shown."""
    folder = Path(find_spec("obp").origin).parent / "dataset" / "obd"
    file = folder / policy / CAMPAIGN / f"{CAMPAIGN}.csv"
    log = pd.read_csv(file, index_col=0).rename(columns=COLUMNS)
    _, places = np.unique(log["position"], return_inverse=True)
    return log.assign(place=places)


def probabilities(policy):
    """Return how probable a policy makes each item at each place, (80, 3)."""
    if policy == "random":
        return np.full((N_ITEMS, N_PLACES), 1 / N_ITEMS)
    from obp.policy import BernoulliTS

    sampling = BernoulliTS(
        n_actions=N_ITEMS,
        len_list=N_PLACES,
        is_zozotown_prior=True,
        campaign=CAMPAIGN,
        random_state=0,
    )
    return sampling.compute_batch_action_dist(n_sim=N_SIMULATED, n_rounds=1)[0]


def estimates_of_obp(log, chances):
    """Return what obp estimates of a policy, by the names of our rows."""
    from obp.ope import (
        InverseProbabilityWeighting,
        SelfNormalizedInverseProbabilityWeighting,
    )

    given = {
        "reward": log["reward"].to_numpy(),
        "action": log["item"].to_numpy(),
        "position": log["place"].to_numpy(),
        "pscore": log["propensity"].to_numpy(),
        "action_dist": np.tile(chances, (len(log), 1, 1)),
    }
    weighting = InverseProbabilityWeighting()
    normalized = SelfNormalizedInverseProbabilityWeighting()
    return {
        "inverse propensity": weighting.estimate_policy_value(**given),
        "self-normalized": normalized.estimate_policy_value(**given),
    }


def compare(logged, judged):
    """Return rows of what the log of one policy says of another."""
    log = read_log(logged)
    chances = probabilities(judged)
    propensities = chances[log["item"], log["place"]]
    value = off_policy_value(propensities, log)
    earned = off_policy_value("propensity", read_log(judged)).table.loc["logged"]
    of_obp = estimates_of_obp(log, chances)
    rows = []
    for name, theirs in of_obp.items():
        figures = value.table.loc[name, ["value", "se", "lower", "upper"]].to_dict()
        figures |= {"obp": theirs, "earned": earned["value"]}
        figures |= {"earned lower": earned["lower"], "earned upper": earned["upper"]}
        rows.append({"log": logged, "policy": judged, "system": name, **figures})
    return rows


def contradictions(rows):
    """Return which rows say something else than obp, or than what was earned."""
    wrong = []
    for row in rows:
        text = f"{row['system']} of {row['policy']} by the log of {row['log']}"
        if not np.isclose(row["value"], row["obp"], rtol=1e-9):
            wrong.append(f"{text} is not that of obp")
        if row["upper"] < row["earned lower"] or row["earned upper"] < row["lower"]:
            wrong.append(f"{text} is not what was earned")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse_options(parser)
    where = machine()
    if find_spec("obp") is None:
        print("obp is not installed: there is nothing to compare with")
        return
    rows = compare("random", "bts") + compare("bts", "random")
    print(pd.DataFrame(rows).to_string(float_format="{:.5f}".format))
    write_results("policy_value", [row | where for row in rows])
    assert_claims(contradictions(rows))


if __name__ == "__main__":
    main()
