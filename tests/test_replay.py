"""Recorded epochs against those that are run as they are."""

from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch.torch_version import TorchVersion
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import BACKBONES, EdgeIndexModule, make_backbone
from sklearn_ltd._distill import LearnedDistillation, TemperatureNetwork, distillation_loss
from sklearn_ltd._neighborhood import LargeGraph
from sklearn_ltd._replay import AsTheyAre, Replay, _can_record, runner
from sklearn_ltd._sparse import SparseMatrix
from sklearn_ltd._tensors import EdgeTensors, GraphTensors
from sklearn_ltd._train import PlainStep, predict_logits
from sklearn_ltd.datasets import make_attributed_sbm

DATA = make_attributed_sbm(60, 3, 8, average_degree=6, random_state=0)
N_EPOCHS = 12


class Operations(TorchDispatchMode):
    """Stands in for a CUDA graph: does the same operations on the same tensors once more.

    Like it, it knows nothing of what Python did between them.
    """

    def __init__(self):
        super().__init__()
        self.seen, self.n_replays = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen.append((func, args, kwargs or {}, result))
        return result

    def replay(self):
        self.n_replays += 1
        if self.n_replays == 1:  # unlike a CUDA graph it has computed while it was made
            return
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, result in self.seen:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again)):
                    if torch.is_tensor(old):
                        _values(old).copy_(_values(new))


def _values(tensor):
    return tensor if tensor.layout == torch.strided else tensor.values()


@pytest.fixture
def without_gpu(monkeypatch):
    """Recordings on the CPU, with the operations of a GPU."""

    @contextmanager
    def recording(graph, pool, stream, capture_error_mode):
        with graph:
            yield

    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Operations)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 2000))
    monkeypatch.setattr("sklearn_ltd._torch._on_cpu", lambda x: False)
    monkeypatch.setattr("sklearn_ltd._sparse._on_cpu", lambda x: False)


def make_step(kind, backbone, sparse, recorded):
    """A step of supervised training, or of LTD with two epochs of warm-up."""
    torch.manual_seed(0)
    y, nodes = torch.from_numpy(DATA.y), torch.arange(20)
    X = DATA.graph.X
    if sparse:
        X = sp.csr_array(np.where(np.abs(X) > 1.5, X, 0))
    graph = GraphTensors(EdgeTensors(DATA.graph.adjacency), X, kept=True)
    assert isinstance(graph.x, SparseMatrix) == sparse
    large, field = LargeGraph(DATA.graph.with_features(X)), None
    if backbone in ("gcn", "gat", "sage", "sgc"):
        field = large.tensors(large.neighborhood(np.arange(20, 40), 2), kept=True)
    module = make_backbone(backbone, 8, 3, 8, 2, 0.5).train()
    optimizer = TensorAdam(module.parameters(), 0.05)
    if kind != "learned":
        seen, rows = (graph, slice(20, 40)) if field is None else (field, slice(None))
        step = PlainStep(module, seen, lambda z: F.cross_entropy(z[rows], y[20:40]), optimizer)
    else:
        network = TemperatureNetwork(3, ("logits", "norm", "entropy"), 1.0)
        step = LearnedDistillation(
            module,
            graph,
            3 * F.one_hot(y).float() + torch.randn(60, 3),
            None,
            partial(distillation_loss, train_nodes=nodes, train_y=y[nodes], label_weight=1),
            optimizer,
            network=network,
            temperature_optimizer=TensorAdam(network.parameters(), 0.02),
            held_out=torch.arange(20, 40),
            evaluation_loss=partial(F.cross_entropy, target=y[20:40]),
            field=field,
            warmup_iter=2,
            interval=3,
        )
    if recorded:
        step._run = Replay(torch.device("cpu"))
    return step


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", ["plain", "unjudged", "learned"])
@pytest.mark.usefixtures("without_gpu")
def test_recorded_epochs_give_the_same(kind, backbone, sparse):
    steps = [make_step(kind, backbone, sparse, recorded) for recorded in (False, True)]
    records = [[], []]
    for step, record in zip(steps, records):
        torch.manual_seed(1)
        step.judged = kind != "unjudged"
        for _ in range(N_EPOCHS):
            losses, logits = step()
            record.append([*map(float, losses.values()), float(logits.square().sum())])
            kept = step.snapshot()
        step.restore(kept)
    np.testing.assert_allclose(*records, rtol=1e-4)
    for one, other in zip(*(step.module.parameters() for step in steps)):
        torch.testing.assert_close(one, other)
    if kind != "unjudged":
        torch.testing.assert_close(logits, predict_logits(steps[1].module, steps[1].graph))
    recordings = [recording for recording, _ in steps[1]._run.recordings.values()]
    assert len(recordings) == (2 if kind == "learned" else 1)
    assert min(recording.n_replays for recording in recordings) > 1
    if kind == "learned":
        torch.testing.assert_close(steps[0].temperatures, steps[1].temperatures)


@pytest.mark.usefixtures("without_gpu")
def test_recorded_epochs_go_on_from_what_was_put_in_between():
    """As a checkpoint does, whose tensors are others."""
    steps = [make_step("learned", "gcn", False, recorded) for recorded in (False, True)]
    for step in steps:
        torch.manual_seed(1)
        for _ in range(N_EPOCHS):
            step()
        step.targets = step.targets.flip(0)
        for _ in range(2):
            step()
    torch.testing.assert_close(steps[0].logits, steps[1].logits)


@pytest.mark.usefixtures("without_gpu")
def test_nothing_is_recorded_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 500)
    steps = [make_step("learned", "gcn", False, recorded) for recorded in (False, True)]
    for step in steps:
        torch.manual_seed(1)
        for _ in range(N_EPOCHS):
            step()
    torch.testing.assert_close(steps[0].logits, steps[1].logits)
    assert not steps[1]._run.recordings


def test_what_is_recorded(monkeypatch):
    module = make_backbone("gcn", 8, 3, 8, 2, 0.5)
    own, other = TensorAdam(module.parameters(), 0.1), torch.optim.SGD(module.parameters(), 0.1)
    assert isinstance(runner(module, [own]), AsTheyAre)  # on a CPU
    monkeypatch.setattr("sklearn_ltd._replay._can_record", lambda device: True)
    assert isinstance(runner(module, [own, own]), Replay)
    assert isinstance(runner(module, [own, other]), AsTheyAre)
    assert isinstance(runner(type("Mine", (type(module),), {})(8, 3), [own]), AsTheyAre)
    assert isinstance(runner(EdgeIndexModule(module, 3), [own]), AsTheyAre)


def test_recordings_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.11.0+cu130"))
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.delenv("SKLEARN_LTD_CUDA_GRAPHS", raising=False)
    assert _can_record(torch.device("cuda:1"))
    with torch.autograd.set_detect_anomaly(True):
        assert not _can_record(torch.device("cuda"))
    monkeypatch.setenv("SKLEARN_LTD_CUDA_GRAPHS", "0")
    assert not _can_record(torch.device("cuda"))
    monkeypatch.delenv("SKLEARN_LTD_CUDA_GRAPHS")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1"))
    assert not _can_record(torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("make", [GNNNodeClassifier, LTDNodeClassifier])
def test_fits_on_a_gpu_are_the_same_with_recordings(make, backbone, monkeypatch):
    settings = {"backbone": backbone, "max_iter": 30, "device": "cuda", "random_state": 0}
    if make is LTDNodeClassifier:
        settings |= {"warmup_iter": 2, "temperature_interval": 2}
    replays = []
    monkeypatch.delenv("SKLEARN_LTD_CUDA_GRAPHS", raising=False)
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda g: replays.append(g) or replay(g))
    recorded = make(**settings).fit(DATA.graph, DATA.y)
    assert bool(replays) == _can_record(torch.device("cuda"))
    monkeypatch.setenv("SKLEARN_LTD_CUDA_GRAPHS", "0")
    plain = make(**settings).fit(DATA.graph, DATA.y)
    losses = [[epoch["loss"] for epoch in clf.history_] for clf in (recorded, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    np.testing.assert_allclose(*(c.predict_proba(DATA.graph) for c in (recorded, plain)), atol=1e-3)
