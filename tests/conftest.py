"""A tiny graph for all tests, and a guard of the global random states."""

import numpy as np
import pytest
import torch

from sklearn_ltd.datasets import make_attributed_sbm


@pytest.fixture(scope="session")
def tiny():
    """80 nodes in 3 classes with 12 features: `tiny.graph`, `tiny.y`."""
    return make_attributed_sbm(
        n_nodes=80, n_classes=3, n_features=12, average_degree=5, random_state=0
    )


@pytest.fixture
def graph(tiny):
    return tiny.graph


@pytest.fixture
def y(tiny):
    return tiny.y


@pytest.fixture
def global_rng_untouched():
    """Fail a test that draws from numpy's or torch's global generator."""
    before = np.random.get_state()
    torch_before = torch.get_rng_state()
    yield
    after = np.random.get_state()
    numpy_same = np.array_equal(before[1], after[1]) and before[2:] == after[2:]
    torch_same = torch.equal(torch_before, torch.get_rng_state())
    assert numpy_same, "numpy's global generator was used"
    assert torch_same, "torch's global generator was used"
