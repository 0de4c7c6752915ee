"""The Spark recipe of docs/cluster.rst, run on frames of pandas."""

import re
import textwrap
from pathlib import Path

import pandas as pd

from sktwotower import io
from tests.builders import random_events, small

PAGE = Path(__file__).parents[1] / "docs" / "cluster.rst"


class Users:
    """Stands for a Spark dataframe: hands batches to the function, checks the names."""

    def __init__(self, batches):
        self.batches = batches

    def mapInPandas(self, function, schema):  # noqa: N802
        names = [column.split()[0] for column in schema.split(", ")]
        tables = list(function(iter(self.batches)))
        assert all(table.columns.tolist() == names for table in tables)
        return pd.concat(tables, ignore_index=True)


def test_the_spark_recipe_recommends_what_the_model_does(tmp_path):
    model = small().fit(random_events())
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    everyone = pd.DataFrame({"user": model.user_ids_, "country": "x"})
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"   :name: spark\n\n((?: {4}.*\n|\n)+)", text)
    names = {"path": path, "users": Users([everyone[:5], everyone[5:5], everyone[5:]])}
    exec(textwrap.dedent(block), names)
    expected = model.recommend(model.user_ids_, n_neighbors=10)
    # a batch without users has ids of no type
    pd.testing.assert_frame_equal(names["top"], expected, check_dtype=False)
