"""The recipes of docs/cluster.md: in Spark and Ray if they are there, else alone."""

import os
import re
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from numpy.testing import assert_allclose
from torch import distributed

from sktwotower import io
from tests.builders import random_events, small

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def block(name):
    """Return the code of a block of the page."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- name: {name} -->\n\n```\w+\n(.*?)```", text, re.S)
    return found


class Users:
    """Stands for a Spark dataframe: hands batches to the function, checks the names."""

    def __init__(self, batches):
        self.batches = batches

    def mapInPandas(self, function, schema):  # noqa: N802
        names = [column.split()[0] for column in schema.split(", ")]
        tables = list(function(iter(self.batches)))
        assert all(table.columns.tolist() == names for table in tables)
        return pd.concat(tables, ignore_index=True)


@pytest.fixture
def dumped(tmp_path, monkeypatch):
    """Return a model, its file and its users; write the module of the page."""
    model = small().fit(random_events())
    io.dump(model, tmp_path / "model.sktt")
    (tmp_path / "top_items.py").write_text(block("top_items"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "top_items", raising=False)
    # for the processes that Spark and Ray start
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    users = pd.DataFrame({"user": model.user_ids_, "country": "x"})
    return model, str(tmp_path / "model.sktt"), users


def assert_is_of(model, found):
    expected = model.recommend(model.user_ids_, n_neighbors=10)
    found = found.sort_values(["user", "rank"], ignore_index=True)
    # a batch without users has ids of no type
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.slow
def test_the_spark_recipe_recommends_what_the_model_does(dumped):
    model, path, users = dumped
    spark = SimpleNamespace(sparkContext=SimpleNamespace(addPyFile=print))
    parts = Users([users[:5], users[5:5], users[5:]])
    names = {"path": path, "users": parts, "spark": spark}
    exec(block("spark"), names)
    assert_is_of(model, names["top"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyspark") is None, reason="needs pyspark and Java")
def test_the_recipe_in_spark(dumped):
    from pyspark.sql import SparkSession

    model, path, users = dumped
    builder = SparkSession.builder.master("local[2]")
    spark = builder.config("spark.ui.enabled", "false").getOrCreate()
    names = {"path": path, "spark": spark}
    names["users"] = spark.createDataFrame(users).repartition(6)
    try:
        exec(block("spark"), names)
        assert_is_of(model, names["top"].toPandas())

        def loads(frames):
            from top_items import model

            for _ in frames:
                yield pd.DataFrame(
                    {"pid": [os.getpid()], "n": model.cache_info().misses}
                )

        # processes go from one task, and from one query, to the next
        found = names["users"].mapInPandas(loads, "pid long, n long").toPandas()
    finally:
        spark.stop()
    assert found["pid"].nunique() <= 2 < len(found)
    assert set(found["n"]) == {1}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs ray[data]")
def test_the_recipe_in_ray(dumped):
    import ray

    model, path, users = dumped
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        names = {"path": path, "users": ray.data.from_pandas(users).repartition(4)}
        exec(block("ray"), names)
        assert_is_of(model, names["top"].to_pandas())
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_the_script_for_torchrun(tmp_path, monkeypatch):
    # what torchrun sets for the only process of a group
    settings = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    for name, value in (settings | {"MASTER_PORT": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    plain = partial(small, dropout=0, id_dropout=0)
    Path("events").mkdir()
    random_events().to_parquet("events/1.parquet")
    try:
        code = block("torchrun").replace("TwoTowerRecommender(", "plain(")
        exec(code, {"plain": plain})
    except BaseException:  # or all later tests would be in a group
        distributed.destroy_process_group()
        raise
    model = io.load("model.sktt")
    expected = plain().fit(random_events())
    assert_allclose(model.item_embeddings_, expected.item_embeddings_, atol=1e-6)
    assert not distributed.is_initialized() and not Path("unfinished").exists()
