import pytest

from sktwotower.baselines import _fitted_matrix


@pytest.fixture(params=[1 << 22, 40], ids=["at once", "in blocks"])
def block(request, monkeypatch):
    """Let scores be computed in blocks of so many numbers."""
    monkeypatch.setattr(_fitted_matrix, "BLOCK_SIZE", request.param)
    return request.param
