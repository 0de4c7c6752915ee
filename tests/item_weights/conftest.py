import pytest

from sktwotower.item_weights import _largest


@pytest.fixture(params=[1 << 22, 60], ids=["at once", "in blocks"])
def block(request, monkeypatch):
    """Let matrices be computed in blocks of so many numbers."""
    monkeypatch.setattr(_largest, "BLOCK_SIZE", request.param)
    return request.param
