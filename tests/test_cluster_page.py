"""The recipes of docs/cluster.rst: Spark's on frames of pandas, torchrun's alone."""

import re
import textwrap
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_allclose
from torch import distributed

from sktwotower import io
from tests.builders import random_events, small

PAGE = Path(__file__).parents[1] / "docs" / "cluster.rst"


def block(name):
    """Return the code of a block of the page."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"   :name: {name}\n\n((?: {{4}}.*\n|\n)+)", text)
    return textwrap.dedent(found)


class Users:
    """Stands for a Spark dataframe: hands batches to the function, checks the names."""

    def __init__(self, batches):
        self.batches = batches

    def mapInPandas(self, function, schema):  # noqa: N802
        names = [column.split()[0] for column in schema.split(", ")]
        tables = list(function(iter(self.batches)))
        assert all(table.columns.tolist() == names for table in tables)
        return pd.concat(tables, ignore_index=True)


@pytest.mark.slow
def test_the_spark_recipe_recommends_what_the_model_does(tmp_path):
    model = small().fit(random_events())
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    everyone = pd.DataFrame({"user": model.user_ids_, "country": "x"})
    names = {"path": path, "users": Users([everyone[:5], everyone[5:5], everyone[5:]])}
    exec(block("spark"), names)
    expected = model.recommend(model.user_ids_, n_neighbors=10)
    # a batch without users has ids of no type
    pd.testing.assert_frame_equal(names["top"], expected, check_dtype=False)


@pytest.mark.slow
def test_the_script_for_torchrun(tmp_path, monkeypatch):
    # what torchrun sets for the only process of a group
    settings = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    for name, value in (settings | {"MASTER_PORT": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    plain = partial(small, dropout=0, id_dropout=0)
    monkeypatch.setattr("sktwotower.TwoTowerRecommender", plain)
    random_events().to_parquet("events.parquet")
    exec(block("torchrun"), {})
    model = io.load("model.sktt")
    expected = plain().fit(random_events())
    assert_allclose(model.item_embeddings_, expected.item_embeddings_, atol=1e-6)
    assert not distributed.is_initialized() and not Path("unfinished").exists()
