"""The number of threads of torch, also in a process that is forked."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from tests.builders import small


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_of_its_parent():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 600, (3000, 2)), columns=["user", "item"])
    model, before = small(n_jobs=2).fit(X), torch.get_num_threads()
    expected = model.recommend()  # on two threads
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(20)  # ends a process that waits for ever
            code = int(not model.recommend().equals(expected))
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert model.recommend().equals(expected)
    assert torch.get_num_threads() == before
