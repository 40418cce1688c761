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


def test_logits_after_a_step_are_computed_where_they_are_looked_at():
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.3, random_state=rng, format="csr")
    graph = GraphTensors(EdgeTensors(adjacency), rng.standard_normal((N, D)))
    y = torch.from_numpy(rng.randint(C, size=N))
    found = []
    for judged in (True, False):
        torch.manual_seed(0)
        module = make_backbone("gcn", D, C, 8, 2, 0.5).train()
        passes = []
        module.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        optimizer = TensorAdam(module.parameters(), 0.05)
        run = run_epochs(
            PlainStep(module, graph, lambda logits: F.cross_entropy(logits, y), optimizer),
            torch.arange(0),
            y[:0],
            judged=judged,
            max_iter=4,
            n_iter_no_change=4,
            tasks=None,
        )
        found.append((len(passes), [record["loss"] for record in run.history]))
    counts, losses = zip(*found)
    assert counts == (8, 5)  # the last logits have to be finite
    assert losses[0] == losses[1]


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


@pytest.mark.parametrize(
    ("imitated", "n_epochs"),
    [(None, 4), ([1, 0, 0], 9), ([0, 0, 0], 4)],
    ids=["teacher", "student", "one class"],
)
def test_a_student_does_not_stop_before_it_has_begun_to_learn(imitated, n_epochs):
    """It takes one class for all nodes in five epochs, and two in those after; the loss grows."""
    sizes = np.arange(1, 11) / 10
    step = Played([[[x if x < 0.55 else -x, 0.0], [x, 0.0], [x, 0.0]] for x in sizes.tolist()])
    run = run_epochs(
        step,
        torch.tensor([2]),
        torch.tensor([1]),
        imitated=None if imitated is None else torch.tensor(imitated),
        max_iter=10,
        n_iter_no_change=3,
        tasks=None,
    )
    assert len(run.history) == n_epochs
