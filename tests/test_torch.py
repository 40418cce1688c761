"""Our own dropout and softmax do what those of torch do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sklearn_ltd import _torch
from sklearn_ltd._torch import (
    class_log_softmax,
    class_softmax,
    dropout,
    relu_dropout,
    relu_dropout_factors,
)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.6])
def test_dropout_keeps_a_share_of_the_entries_and_the_mean(p):
    torch.manual_seed(0)
    x = torch.full((901, 333), 2.0, dtype=torch.float64)  # more than a block
    dropped = dropout(x, p, training=True)
    kept = dropped != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.01)
    share = round((1 - p) * 1024) / 1024
    torch.testing.assert_close(dropped[kept], x[kept] / share, rtol=1e-12, atol=0)
    assert kept.double().mean(0).std() < 0.05  # no column is favoured


def test_dropout_that_drops_less_than_its_grain_drops_nothing():
    assert torch.equal(dropout(torch.ones(1000), 1e-6, training=True), torch.ones(1000))


def test_dropout_is_seeded_and_acts_in_training_only():
    x = torch.randn(50, 7)
    assert dropout(x, 0.5, training=False) is x
    first, second = (torch.manual_seed(1), dropout(x, 0.5, True))[1], dropout(x, 0.5, True)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5, True), first)


def test_dropout_has_all_derivatives():
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def masked(x):
        torch.manual_seed(0)
        return dropout(x, 0.4, True) ** 3

    assert torch.autograd.gradgradcheck(masked, x)
    assert torch.autograd.gradcheck(masked, x, check_forward_ad=True)


def test_dropout_does_not_depend_on_how_entries_are_stored():
    x = torch.randn(50, 7)
    results = []
    for stored in (x, x.t().contiguous().t()):
        torch.manual_seed(0)
        results.append(relu_dropout(stored, 0.5, True))
    assert torch.equal(*results)


@pytest.mark.parametrize("training", [True, False])
def test_relu_with_dropout_and_its_derivatives(training):
    x = torch.randn(90_000, 3, dtype=torch.float64, requires_grad=True)  # more than a block

    def together(x):
        torch.manual_seed(0)
        return relu_dropout(x, 0.4, training) ** 3

    torch.manual_seed(0)
    expected = dropout(x.relu(), 0.4, training) ** 3
    torch.testing.assert_close(together(x), expected)
    few = x[:3].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(together, few)
    assert torch.autograd.gradcheck(together, few, check_forward_ad=True)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("training", [False, True])
def test_relu_with_dropout_is_a_product_with_its_factors(training, on_cpu, monkeypatch):
    """Also the way that a GPU goes."""
    monkeypatch.setattr(_torch, "_on_cpu", lambda x: on_cpu)
    x, results = torch.randn(200, 5), []
    for function in (relu_dropout, lambda *args: x * relu_dropout_factors(*args)):
        torch.manual_seed(0)
        results.append(function(x, 0.4, training))
    torch.testing.assert_close(*results)
    share = (results[0] > 0).float().mean().item()
    assert share == pytest.approx(0.3 if training else 0.5, abs=0.05)


@pytest.mark.parametrize(
    ("own", "torchs"), [(class_softmax, torch.softmax), (class_log_softmax, torch.log_softmax)]
)
def test_softmax_by_columns_and_its_derivatives(own, torchs):
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(own(logits), torchs(logits, 1), rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(own, logits)
    assert torch.autograd.gradgradcheck(own, logits)


PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE_PAGES = """
import numpy, sklearn_ltd, torch

def huge():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))

before = huge()
of_numpy = numpy.ones(2**26, numpy.uint8)
between = huge()
of_torch = torch.ones(2**26, dtype=torch.uint8)
print(between - before, huge() - between)
"""


@pytest.mark.skipif(
    not PAGES.exists() or "[madvise]" not in PAGES.read_text(),
    reason="needs Linux, with large pages for those who ask",
)
@pytest.mark.parametrize("chosen", [None, "0"])
def test_large_tensors_get_large_pages_unless_the_user_says_otherwise(chosen):
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    if chosen is not None:
        environment["THP_MEM_ALLOC_ENABLE"] = chosen
    command = [sys.executable, "-c", LARGE_PAGES]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    of_numpy, of_torch = map(int, run.stdout.split())  # KiB
    if of_numpy == 0:
        pytest.skip("the system gives no large pages")
    assert (of_torch > 0) == (chosen is None)
