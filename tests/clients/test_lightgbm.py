"""Rankers of LightGBM as the second stage, also behind other steps."""

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktwotower import io
from tests.two_stage.builders import follows, stages

from .builders import needs

pytestmark = needs("lightgbm")


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_pipeline_that_ends_in_a_ranker_with_groups(tmp_path):
    from lightgbm import LGBMRanker

    last = LGBMRanker(n_estimators=20, n_jobs=1, random_state=0, verbose=-1)
    model = stages(ranker=make_pipeline(StandardScaler(), last)).fit(follows(200))
    assert model.blend_ > 0 and type(model.ranker_[-1]) is LGBMRanker
    pytest.importorskip("skops.io")
    io.dump(model, tmp_path / "model.sktt")
    with pytest.raises(ValueError, match="not trusted: .*LGBMRanker"):
        io.load(tmp_path / "model.sktt")
