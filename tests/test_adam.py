"""The optimizer against torch's own, bit for bit."""

import subprocess
import sys

import torch

from sklearn_ltd._adam import Adam

FIRST_FIT = """
import sys
from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm
data = make_attributed_sbm(n_nodes=50, random_state=0)
LTDNodeClassifier(max_iter=3, warmup_iter=1).fit(data.graph, data.y)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def make(optimizer_type):
    """An optimizer of three parameters in two groups, and the parameters."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.randn(n, 3, generator=generator).requires_grad_() for n in (4, 5, 2)]
    optimizer = optimizer_type(parameters[:1], 0.05, weight_decay=0.02)
    optimizer.add_param_group({"params": parameters[1:], "lr": 0.5, "eps": 1e-3})
    return optimizer, parameters


def descend(optimizer, parameters, n_steps):
    """Steps on a function of the first two parameters."""
    for _ in range(n_steps):
        optimizer.zero_grad()
        sum((p**2 + p.sin()).sum() for p in parameters[:2]).backward()
        optimizer.step()


def test_the_numbers_are_those_of_torch():
    optimizer, parameters = make(Adam)
    reference, expected = make(torch.optim.Adam)
    descend(optimizer, parameters, 7)
    descend(reference, expected, 7)
    assert all(map(torch.equal, parameters, expected))
    for own, theirs in zip(parameters[:2], expected):
        for name, value in reference.state[theirs].items():
            assert torch.equal(torch.as_tensor(optimizer.state[own][name]), value)
    assert parameters[2] not in optimizer.state  # it never had a gradient


def test_a_stored_state_goes_on_where_it_was_and_is_a_copy():
    optimizer, parameters = make(Adam)
    descend(optimizer, parameters, 4)
    resumed, copies = make(Adam)
    resumed.load_state_dict(optimizer.state_dict())
    with torch.no_grad():
        for copy, parameter in zip(copies, parameters):
            copy.copy_(parameter)
    descend(resumed, copies, 3)
    assert not torch.equal(copies[0], parameters[0])
    descend(optimizer, parameters, 3)
    assert all(map(torch.equal, copies, parameters))


def test_the_first_fit_of_a_process_does_not_load_torchs_compiler():
    command = [sys.executable, "-c", FIRST_FIT]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
