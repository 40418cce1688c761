"""The epoch of ordinary training against a loop written out."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import BACKBONES, make_backbone
from sklearn_ltd._tensors import EdgeTensors, GraphTensors
from sklearn_ltd._train import PlainStep

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
