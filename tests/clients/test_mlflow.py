"""MLflow: the page docs/mlflow.md, and its default format for every recommender."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from sktwotower import (
    ClickRateRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from tests.docs.test_guide import outputs

from .builders import needs, shop

pytestmark = needs("mlflow>=3.17", "skops")
PAGE = Path(__file__).parents[2] / "docs" / "mlflow.md"
EVENTS = shop()
MODELS = {
    "click rate": ClickRateRecommender(),
    "EASE": EASERecommender(),
    "item-kNN": ItemKNNRecommender(),
    "walk": RP3betaRecommender(),
    "filters": GraphFilterRecommender(),
    "ridge": OrderedRidgeRecommender(),
    "repeats": RepeatRecommender(),
    "popularity": PopularityRecommender(),
    "two stages": TwoStageRecommender(EASERecommender(), time="time"),
    "two towers": TwoTowerRecommender(max_epochs=1, embedding_dim=8),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_the_default_format_needs_the_name_of_one_class(name, tmp_path):
    import mlflow

    model = MODELS[name].fit(EVENTS)
    kind = f"{type(model).__module__}.{type(model).__name__}"
    params = {"path": tmp_path / "model", "pip_requirements": ["sktwotower"]}
    # as it refuses estimators of all packages except scikit-learn
    with pytest.raises(mlflow.MlflowException, match=rf"in the file: \['{kind}'\]\."):
        mlflow.sklearn.save_model(model, **params)
    params["path"] = tmp_path / "again"
    mlflow.sklearn.save_model(model, skops_trusted_types=[kind], **params)
    again = mlflow.sklearn.load_model(str(params["path"]))
    assert_frame_equal(again.recommend([3, 5]), model.recommend([3, 5]))


def test_other_packages_must_be_named_as_well(tmp_path):
    mlflow, lightgbm = map(pytest.importorskip, ("mlflow", "lightgbm"))
    model = lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1)
    model.fit(EVENTS[["user"]], EVENTS["item"])
    with pytest.raises(mlflow.MlflowException, match="untrusted types"):
        mlflow.sklearn.save_model(model, tmp_path / "model", pip_requirements=[])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Yield what the code of the page has named; it runs in a folder of its own."""
    names, folder = {}, tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        blocks = outputs.blocks(PAGE.read_text("utf-8"))
        for block in sorted(blocks, key=lambda block: block.last):
            if "set_model" in block.code:
                Path("top_items.py").write_text(block.code, "utf-8")
            else:
                exec(block.code, names)
        yield names


def test_epochs_and_models_of_the_page(page):
    model, again = page["model"], page["again"]
    assert_frame_equal(again.recommend([3], n_neighbors=5), page["top"])
    assert_frame_equal(model.recommend([3], n_neighbors=5), page["top"])
    runs = page["mlflow"].search_runs()
    assert runs["metrics.train_loss"].notna().sum() == 1
    assert runs["metrics.recall"].max() == model.score(page["X"])


def test_the_lists_of_the_page_and_its_request(page):
    from mlflow.pyfunc import scoring_server

    model, users = page["model"], page["users"]["user"].tolist()
    assert_frame_equal(page["lists"], model.recommend(users, n_neighbors=5))
    text = PAGE.read_text("utf-8")
    request = text[text.index('{"dataframe_records"') :].split("`")[0]
    served, schema = page["served"], page["served"].metadata.get_input_schema()
    answer = scoring_server.invocations(request, "application/json", served, schema)
    assert answer.status == 200
    found = pd.DataFrame(json.loads(answer.response)["predictions"])
    expected = model.recommend([3], n_neighbors=5)
    assert found["item"].tolist() == expected["item"].tolist() and len(found) == 5


def test_autolog_records_a_search_and_no_fit(page):
    found, mlflow = page["found"], page["mlflow"]
    assert set(found.metrics) == {"best_cv_score"}
    assert "best_temperature" in found.params
    mlflow.sklearn.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            EASERecommender().fit(EVENTS)
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert mlflow.get_run(run.info.run_id).data.params == {}
