"""The optimizer against torch's Adam, and against a computation in numpy."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sklearn_ltd._adam import TensorAdam

FIRST_FIT = """
import sys
from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm
data = make_attributed_sbm(n_nodes=50, random_state=0)
LTDNodeClassifier(max_iter=3, warmup_iter=1).fit(data.graph, data.y)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.fixture(params=["numbers", "tensors"], autouse=True)
def state(request, monkeypatch):
    """What moments and steps are counted in on a CPU and on a GPU."""
    if request.param == "tensors":
        monkeypatch.setattr("sklearn_ltd._torch._on_cpu", lambda x: False)


def make():
    """An optimizer of four parameters in two groups, and the parameters; the third is zero."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.randn(n, 3, generator=generator) for n in (4, 5, 2, 2)]
    parameters[2].zero_()
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = TensorAdam(parameters[:1], 0.05, weight_decay=0.02)
    optimizer.add_param_group({"params": parameters[1:], "lr": 0.5, "eps": 1e-3})
    return optimizer, parameters


def descend(optimizer, parameters, n_steps):
    """Steps on a function of the first three parameters."""
    for _ in range(n_steps):
        optimizer.zero_grad()
        sum((p**2 + p.sin()).sum() for p in parameters[:3]).backward()
        optimizer.step()


def test_a_tensor_of_one_entry_goes_the_way_of_torchs_adam():
    start = torch.tensor([0.7])
    parameter, expected = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizer = TensorAdam([parameter], 0.05, weight_decay=0.02)
    reference = torch.optim.Adam([expected], 0.05 * 0.7, weight_decay=0.02)
    for _ in range(7):
        for steps, p in ((optimizer, parameter), (reference, expected)):
            steps.zero_grad()
            (p**2 + p.sin()).sum().backward()
            steps.step()
    torch.testing.assert_close(parameter, expected)


def test_moments_and_steps_are_those_of_the_whole_tensor():
    optimizer, parameters = make()
    settings = [(0.05, 1e-8, 0.02), (0.5, 1e-3, 0.02), (0.5, 1e-3, 0.02)]
    expected = [p.detach().numpy().astype(np.float64) for p in parameters]
    sizes = [np.sqrt(np.mean(values**2)) or 0.1 / np.sqrt(3) for values in expected]
    mean, square = [0.0] * 3, [0.0] * 3
    for t in range(1, 8):
        for i, (lr, eps, decay) in enumerate(settings):
            gradient = 2 * expected[i] + np.cos(expected[i]) + decay * expected[i]
            mean[i] = 0.9 * mean[i] + 0.1 * gradient
            square[i] = 0.999 * square[i] + 0.001 * np.mean(gradient**2)
            root = np.sqrt(square[i] / (1 - 0.999**t)) + eps
            expected[i] = expected[i] - lr * sizes[i] * mean[i] / (1 - 0.9**t) / root
    descend(optimizer, parameters, 7)
    for parameter, values in zip(parameters, expected):
        np.testing.assert_allclose(parameter.detach(), values, rtol=1e-4)
    assert parameters[3] not in optimizer.state  # it never had a gradient


@pytest.mark.parametrize("start", [0.0, 1e-6, 1e-2])
@pytest.mark.parametrize("shape", [(), (1,), (64,), (4, 64)])
def test_what_starts_next_to_zero_moves_too(shape, start):
    parameter = torch.full(shape, start, requires_grad=True)
    optimizer = TensorAdam([parameter], 0.02)
    for _ in range(300):
        optimizer.zero_grad()
        (parameter * torch.ones(shape[-1:]) - 1).square().mean().backward()
        optimizer.step()
    assert parameter.detach().abs().mean() > 0.07


@pytest.mark.parametrize("unit", [0.25, 8.0])
def test_a_unit_is_a_change_of_variables(unit):
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    plain = start.clone().requires_grad_()
    scaled = (start / unit).requires_grad_()
    optimizers = [TensorAdam([plain], 0.05, weight_decay=0.02)]
    optimizers.append(TensorAdam([], 0.05, weight_decay=0.02))
    optimizers[1].add_param_group({"params": [scaled], "unit": unit})
    for _ in range(5):
        for optimizer, tensor in zip(optimizers, (plain, scaled * unit)):
            optimizer.zero_grad()
            (tensor**2 + tensor.sin()).sum().backward()
            optimizer.step()
    torch.testing.assert_close(scaled * unit, plain)


def test_a_stored_state_goes_on_where_it_was_and_is_a_copy():
    optimizer, parameters = make()
    descend(optimizer, parameters, 4)
    resumed, copies = make()
    resumed.load_state_dict(optimizer.state_dict())
    with torch.no_grad():
        for copy, parameter in zip(copies, parameters):
            copy.copy_(parameter)
    descend(resumed, copies, 3)
    assert not torch.equal(copies[0], parameters[0])
    descend(optimizer, parameters, 3)
    assert all(map(torch.equal, copies, parameters))


def test_a_tensor_without_entries_changes_nothing():
    parameter = torch.zeros(0, requires_grad=True)
    optimizer = TensorAdam([parameter], 0.05)
    parameter.sum().backward()
    optimizer.step()
    assert optimizer.state[parameter]["exp_avg_sq"] == 0


def test_a_gradient_that_is_too_large_does_not_pass_unnoticed():
    parameter = torch.ones(3, requires_grad=True)
    optimizer = TensorAdam([parameter], 0.05)
    for size in (1e30, 1.0, 1.0):
        parameter.grad = torch.full((3,), size)
        optimizer.step()
    assert parameter.isnan().all()


def test_the_first_fit_of_a_process_does_not_load_torchs_compiler():
    command = [sys.executable, "-c", FIRST_FIT]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
