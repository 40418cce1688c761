"""The epoch of ordinary training against a loop written out."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import BACKBONES, make_backbone
from sklearn_ltd._tensors import EdgeTensors, GraphTensors
from sklearn_ltd._train import PlainStep, run_epochs

N, D, C = 12, 5, 3


@pytest.mark.parametrize("backbone", BACKBONES)
def test_epochs_equal_a_plain_loop(backbone):
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.3, random_state=rng, format="csr")
    graph = GraphTensors(EdgeTensors(adjacency), rng.standard_normal((N, D)))
    y = torch.from_numpy(rng.randint(C, size=N))

    def start():
        torch.manual_seed(0)
        module = make_backbone(backbone, D, C, 8, 2, 0.5).train()
        return module, TensorAdam(module.parameters(), 0.05, weight_decay=0.02)

    module, optimizer = start()
    expected = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(graph), y)
        loss.backward()
        optimizer.step()
        expected.append((loss.item(), module.eval()(graph).detach()))
        module.train()

    module, optimizer = start()
    step = PlainStep(module, graph, lambda logits: F.cross_entropy(logits, y), optimizer)
    calls = []
    if module.first_layer:
        module.get_submodule(module.first_layer).register_forward_hook(lambda *_: calls.append(1))
    for loss, logits in expected:
        losses, found = step()
        assert losses["loss"].item() == loss
        assert torch.equal(found, logits)
    if module.first_layer:  # which the pass that ends an epoch shares with the next one
        assert len(calls) == len(expected) + 1


def test_epochs_that_nobody_judges_take_the_same_steps_and_end_with_them():
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.3, random_state=rng, format="csr")
    graph = GraphTensors(EdgeTensors(adjacency), rng.standard_normal((N, D)))
    y = torch.from_numpy(rng.randint(C, size=N))
    states, counts = [], []
    for judged in (True, False):
        torch.manual_seed(0)
        module = make_backbone("gcn", D, C, 8, 2, 0.5).train()
        optimizer = TensorAdam(module.parameters(), 0.05)
        step = PlainStep(module, graph, lambda logits: F.cross_entropy(logits, y), optimizer)
        step.judged = judged
        passes = []
        module.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        losses = [step()[0]["loss"].item() for _ in range(4)]
        states.append([losses, *(p.detach() for p in module.parameters())])
        counts.append(len(passes))
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert counts == [8, 4]


class Played:
    """A step whose logits of two nodes, of which the first stops, are given."""

    changing = ()

    def __init__(self, logits):
        self.logits = iter(logits)
        self.n_epochs = 0
        self.restored = None

    def __call__(self):
        self.n_epochs += 1
        return {"loss": torch.tensor(1.0)}, torch.tensor(next(self.logits))

    def snapshot(self):
        return self.n_epochs

    def restore(self, kept):
        self.restored = kept


UNDECIDED, SURE = [[0.1, 0.0], [0.1, 0.0]], [[0.0, 3.0], [0.0, 3.0]]


@pytest.mark.parametrize(("imitated", "best"), [(None, 1), ([1, 1], 2), ([0, 0], 1)])
def test_an_undecided_student_is_not_the_best_one(imitated, best):
    """The first epoch has the lower loss on the stop node, whose class is 0."""
    step = Played([UNDECIDED, SURE])
    run = run_epochs(
        step,
        torch.tensor([0]),
        torch.tensor([0]),
        imitated=None if imitated is None else torch.tensor(imitated),
        max_iter=2,
        n_iter_no_change=5,
        tasks=None,
    )
    assert run.best_epoch + 1 == step.restored == best
    assert run.history[0]["stop_loss"] < run.history[1]["stop_loss"]
    if imitated is not None:
        assert [record["agreement"] for record in run.history] == [1 - imitated[0], imitated[0]]
