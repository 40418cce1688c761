"""The method against independent computations."""

from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from scipy.stats import entropy as scipy_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_ltd import Graph, LTDNodeClassifier, _torch
from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import BACKBONES, make_backbone
from sklearn_ltd._distill import (
    LearnedDistillation,
    TemperatureNetwork,
    _TwoLayers,
    distillation_loss,
    heuristic_temperatures,
    judging_field,
    neighbor_entropy,
    soft_targets,
    step_scale,
)
from sklearn_ltd._neighborhood import LargeGraph
from sklearn_ltd._tensors import EdgeTensors, GraphTensors
from sklearn_ltd._torch import relu_dropout_factors
from sklearn_ltd._train import predict_logits, trainable
from sklearn_ltd.datasets import make_attributed_sbm

N, D, C = 14, 5, 3
STAGED = ["gcn", "gat", "sage", "sgc"]
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
DEVICES = ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)]
IN_FIELD = [(name, False) for name in BACKBONES] + [(name, True) for name in STAGED]
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.3),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.3, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, 0.05, weight_decay=0.02),
    "tensor_adam": lambda parameters: TensorAdam(parameters, 0.05, weight_decay=0.02),
}


def pyg_style(n_features, n_classes):
    from torch_geometric.nn.models import GraphSAGE

    return GraphSAGE(n_features, 6, 2, n_classes, norm="batch")


def whole_graph():
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.3, random_state=rng, format="csr")
    adjacency = sp.csr_array(adjacency + adjacency.T)
    return Graph(adjacency, rng.standard_normal((N, D)))


def graph_on(device):
    graph = whole_graph()
    return GraphTensors(EdgeTensors(graph.adjacency, device, torch.float64), graph.X)


@pytest.fixture
def graph():
    return graph_on("cpu")


def make_step(graph, backbone, dropout, optimizer, in_field=False):
    torch.manual_seed(0)
    device = graph.edges.device
    module = make_backbone(backbone, D, C, 8, 2, dropout).double().train()
    # Biases off zero: a kink of ReLU at 0 has no derivative to compare with.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network = TemperatureNetwork(C, ("logits", "norm", "entropy"), 2.0).double()
    teacher_logits = torch.randn(N, C, dtype=torch.float64) * 2
    weights = torch.rand(N, dtype=torch.float64) + 0.5
    nodes, y = torch.tensor([[0, 1, 2], [0, 1, 2]], device=device)
    held_out, held_out_y = torch.tensor([[3, 4, 5, 6], [2, 1, 0, 0]], device=device)
    field = None
    if in_field:
        large = LargeGraph(whole_graph(), device, torch.float64)
        field = large.tensors(large.neighborhood(held_out.cpu().numpy(), 2), kept=True)
    module, network = module.to(device), network.to(device)
    return LearnedDistillation(
        module,
        graph,
        teacher_logits.to(device),
        weights.to(device),
        lambda z, q: distillation_loss(z, q, nodes, y, 0.7),
        OPTIMIZERS[optimizer](module.parameters()),
        network=network,
        temperature_optimizer=torch.optim.SGD(network.parameters(), 1.0),
        held_out=held_out,
        evaluation_loss=partial(F.cross_entropy, target=held_out_y),
        field=field,
        warmup_iter=2,
        interval=1,
    )


def held_step(step, state, held, graph, targets, seed):
    """Evaluation loss after one step of the student with fixed second moments."""
    torch.manual_seed(seed)
    parameters = {k: v.clone().requires_grad_() for k, v in state.items()}
    buffers = {k: v.clone() for k, v in step.module.named_buffers()}
    step.module.train()
    logits = torch.func.functional_call(step.module, {**parameters, **buffers}, (graph,))
    loss = step.loss(logits, targets)
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    updated = {
        k: v.detach() - scale * gradient + constant
        for (k, v), gradient, (scale, constant) in zip(parameters.items(), gradients, held)
    }
    step.module.eval()
    with torch.no_grad():
        after = torch.func.functional_call(step.module, {**updated, **buffers}, (graph,))
    step.module.train()
    return step.evaluation_loss(after[step.held_out]).item()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("backbone", [*BACKBONES, pyg_style], ids=[*BACKBONES, "custom"])
def test_hypergradient_equals_finite_differences(graph, backbone, dropout, optimizer):
    step = make_step(graph, backbone, dropout, optimizer)
    for seed in range(2):
        torch.manual_seed(seed)
        step()  # warm-up, so that momentum and second moments are not trivial
    state = {k: v.detach().clone() for k, v in step.module.named_parameters()}
    buffers = {k: v.clone() for k, v in step.module.named_buffers()}
    network = {k: v.clone() for k, v in step.network.state_dict().items()}
    logits, entropy = step.logits.clone(), step.entropy

    def targets(name=None, index=None, shift=0.0):
        weights = {k: v.clone() for k, v in network.items()}
        if name is not None:
            weights[name][index] += shift
        torch.manual_seed(10)
        step.network.train()
        tau = torch.func.functional_call(step.network, weights, (logits, entropy))
        return soft_targets(step.teacher_logits, tau, step.weights).detach()

    # One learned epoch, with a known seed for each of its two random parts.
    torch.manual_seed(10)
    tau = step.network(logits, entropy)
    q = soft_targets(step.teacher_logits, tau, step.weights)
    torch.manual_seed(11)
    _, gradients, leaf = step._distil(q, learning=True)
    step._learn(q, gradients, leaf)

    after = dict(step.module.named_parameters())
    held = [
        (scale, after[k].detach() - state[k] + scale * gradient.detach())
        for k, scale, gradient in zip(
            state, step_scale(step.optimizer, trainable(step.module)), gradients
        )
    ]
    step.module.load_state_dict({**state, **buffers})
    for name, parameter in step.network.named_parameters():
        index = np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape)
        eps = 1e-5
        high, low = (
            held_step(step, state, held, graph, targets(name, index, sign * eps), seed=11)
            for sign in (1, -1)
        )
        expected = (high - low) / (2 * eps)
        assert parameter.grad[index].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("backbone", STAGED)
def test_epochs_that_judge_on_a_part_of_the_graph_are_the_same(graph, backbone, dropout):
    """The part that the logits of the nodes depend on which the temperatures are judged by."""
    steps = [
        make_step(graph, backbone, dropout, "tensor_adam", in_field) for in_field in (False, True)
    ]
    assert steps[1].field.inner.edges.n_targets == 4
    for epoch in range(5):
        found = []
        for step in steps:
            torch.manual_seed(epoch)
            found.append(step())
        torch.testing.assert_close(found[1][0], found[0][0])
        torch.testing.assert_close(found[1][1], found[0][1])
    for ours, theirs in zip(*(step.network.parameters() for step in steps)):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_hypergradient_equals_the_closed_form_in_forward_mode(graph, backbone):
    """dL_eval/dtau_v = - Cov_q(z^t_v, d_v) / (tau_v^2 n), d_v the tangent of log p_v."""
    step = make_step(graph, backbone, 0.0, "sgd")
    tau = torch.linspace(0.3, 1.5, N, dtype=torch.float64).requires_grad_()
    q = soft_targets(step.teacher_logits, tau, step.weights)
    state = {k: v.detach().clone() for k, v in step.module.named_parameters()}
    _, gradients, leaf = step._distil(q, learning=True)

    step.module.eval()
    loss = step.evaluation_loss(step.module(graph)[step.held_out])
    outer = torch.autograd.grad(loss, list(step.module.parameters()))
    with torch.autograd.forward_ad.dual_level():
        dual = {
            k: torch.autograd.forward_ad.make_dual(v, 0.3 * g)
            for (k, v), g in zip(state.items(), outer)
        }
        logits = torch.func.functional_call(step.module, dual, (graph,))
        d = torch.autograd.forward_ad.unpack_dual(logits.log_softmax(1)).tangent
    step.module.train()
    z, q0 = step.teacher_logits, q.detach()
    covariance = (q0 * z * d).sum(1) - (q0 * z).sum(1) * (q0 * d).sum(1) / step.weights
    expected = -covariance / (tau.detach() ** 2 * N)

    step._learn(q, gradients, leaf)
    torch.testing.assert_close(tau.grad, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "tensor_adam"])
def test_the_scale_of_a_step_times_the_mean_gradient_is_the_step(optimizer):
    """For Adam the first moment stands for the gradient, of which it holds the share 1 - b1."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    steps = OPTIMIZERS[optimizer]([parameter])
    steps.param_groups[0]["weight_decay"] = 0
    for _ in range(3):
        before = parameter.detach().clone()
        parameter.grad = torch.randn_like(parameter)
        steps.step()
        moment = parameter.grad
        if optimizer != "sgd":
            moment = steps.state[parameter]["exp_avg"] / (1 - steps.param_groups[0]["betas"][0])
        (scale,) = step_scale(steps, [parameter])
        torch.testing.assert_close(scale * moment, before - parameter.detach())


def test_neighbor_entropy_equals_a_dense_computation_with_isolated_nodes():
    rng = np.random.RandomState(0)
    adjacency = np.triu((rng.random_sample((8, 8)) < 0.4).astype(float), 1)
    adjacency += adjacency.T
    adjacency[3] = adjacency[:, 3] = 0
    probabilities = rng.dirichlet(np.ones(4), size=8)
    probabilities[0] = [1, 0, 0, 0]
    expected = np.zeros(8)
    for v in range(8):
        neighbors = np.flatnonzero(adjacency[v])
        if len(neighbors):
            expected[v] = scipy_entropy(probabilities[neighbors].mean(0))
    edges = EdgeTensors(sp.csr_array(adjacency), dtype=torch.float64)
    computed = neighbor_entropy(torch.from_numpy(probabilities), edges.mean)
    np.testing.assert_allclose(computed.numpy(), expected, atol=1e-12)
    assert computed[3] == 0


def test_soft_targets_turn_round_at_negative_temperatures_and_stay_finite_near_zero():
    logits = torch.tensor([[2.0, 0.0, -1.0]]).expand(5, 3)
    tau = torch.tensor([1.0, -1.0, 0.0, -1e-9, 1e9])
    q = soft_targets(logits, tau)
    assert torch.isfinite(q).all()
    assert q.argmax(1).tolist() == [0, 2, 0, 2, 0]
    torch.testing.assert_close(q[0], logits[0].softmax(0))
    torch.testing.assert_close(q[4], torch.full((3,), 1 / 3))


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("features", [("logits",), ("norm",), ("entropy",), ("norm", "logits")])
def test_temperatures_stay_in_their_range_and_use_the_chosen_features(features, negative):
    torch.manual_seed(0)
    network = TemperatureNetwork(3, features, 3.0, negative).eval()
    logits, entropy = torch.randn(50, 3) * 100, torch.rand(50)
    tau = network(logits, entropy)
    assert tau.shape == (50,)
    low, high = (-0.6, 2.4) if negative else (0.3, 7.5)
    assert ((tau > low) & (tau < high)).all()
    changed = network(logits, entropy + torch.rand(50))
    assert torch.equal(tau, changed) == ("entropy" not in features)


@pytest.mark.parametrize("block", [48, 1000])  # entries: eight of the rows, or all
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("training", [False, True])
def test_the_networks_two_layers_and_their_gradients_equal_those_one_by_one(
    training, device, block, monkeypatch
):
    monkeypatch.setattr(_torch, "_BLOCK", block)
    torch.manual_seed(0)
    shapes = (20, 4), (6, 4), (6,), (1, 6), (1,)  # rows, and both layers of the network
    parts = [torch.randn(s, dtype=torch.float64, device=device).requires_grad_() for s in shapes]

    def fused(*parts):
        torch.manual_seed(1)
        return _TwoLayers.apply(*parts, 0.4, training)

    def one_by_one(x, weight, bias, out_weight, out_bias):
        torch.manual_seed(1)
        hidden = F.linear(x, weight, bias)
        hidden = hidden * relu_dropout_factors(hidden, 0.4, training)
        return F.linear(hidden, out_weight, out_bias).squeeze(1)

    torch.testing.assert_close(fused(*parts), one_by_one(*parts))
    row_weights = torch.rand(20, dtype=torch.float64, device=device)
    gradients = [
        torch.autograd.grad((f(*parts) * row_weights).sum(), parts) for f in (fused, one_by_one)
    ]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.gradgradcheck(fused, parts)


@pytest.mark.parametrize("backbone", ["gcn", "gat", "sage", "sgc", "mlp"])
@pytest.mark.parametrize("degree", [0, 20])
def test_temperatures_are_judged_on_a_part_with_a_small_hidden_layer(backbone, degree):
    """However many nodes lie one hop further."""
    data = make_attributed_sbm(n_nodes=1500, average_degree=20, random_state=0)
    graph = data.graph if degree else Graph(sp.csr_array((1500, 1500)), data.graph.X)
    module = make_backbone(backbone, graph.X.shape[1], 3, 8, 2, 0.5)
    fields = [judging_field(module, graph, np.arange(n), "cpu") for n in (10, 400)]
    assert fields[0].n_nodes > 750 if degree and backbone != "mlp" else fields[0].n_nodes == 10
    assert fields[1] is None


@pytest.mark.parametrize("n_classes", [2, 3])
def test_heuristic_temperatures_rise_with_the_teachers_doubt(graph, n_classes):
    sure = torch.zeros(N, n_classes, dtype=torch.float64)
    sure[:, 0] = torch.linspace(0.1, 8, N)
    tau = heuristic_temperatures(sure, graph.edges.mean, (1.0, 0.0, 0.0), 1.0)
    assert (tau.diff() < 0).all()
    assert ((tau > 0) & (tau < 0.8)).all()


def test_heuristic_temperatures_equal_a_computation_in_numpy(graph):
    logits = np.random.RandomState(0).standard_normal((N, C)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    around = graph.neighbor_mean.to_dense().numpy() @ p
    top = np.sort(p, axis=1)
    centered = logits - logits.mean(axis=1, keepdims=True)
    signals = [
        top[:, -2] - top[:, -1],
        -np.linalg.norm(centered, axis=1),
        -(around * np.log(around)).sum(axis=1),
    ]
    weights = (0.5, 2.0, -1.0)
    total = sum(w * (s - s.mean()) / s.std() for w, s in zip(weights, signals))
    found = heuristic_temperatures(torch.tensor(logits), graph.neighbor_mean, weights, 3.0)
    np.testing.assert_allclose(found, 0.8 * 3.0 / (1 + np.exp(-total)), rtol=1e-4)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_the_loss_without_labels_is_that_of_the_teacher_alone(weight):
    logits, targets = torch.randn(N, C), torch.randn(N, C).softmax(1)
    nodes, y = torch.tensor([0, 1]), torch.tensor([0, 2])
    alone = distillation_loss(logits, targets, nodes, y, 0.0)
    torch.testing.assert_close(alone, F.cross_entropy(logits, targets))
    both = distillation_loss(logits, targets, nodes, y, weight)
    torch.testing.assert_close(both - alone, weight * F.cross_entropy(logits[nodes], y))


def test_evaluation_logits_serve_the_next_epoch(graph):
    step = make_step(graph, "gcn", 0.4, "adam")
    for _ in range(4):
        _, logits = step()
        torch.testing.assert_close(logits, predict_logits(step.module, graph))


class NoSynchronisation(TorchDispatchMode):
    """Refuses the operations for whose result the processor would have to wait for a GPU."""

    waiting = (
        *("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal"),
        *("bincount", "repeat_interleave"),
    )

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        assert not by_mask, name
        assert not name.startswith(self.waiting), name
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting():
    """Refuses what would wait for a GPU, on the way that a GPU takes.

    On a CPU copies to it are seen in Python alone.
    """

    def refuse(*args):
        raise AssertionError("copied to the CPU")

    with NoSynchronisation(), pytest.MonkeyPatch.context() as patch:
        for name in ("cpu", "numpy", "tolist", "__array__"):
            patch.setattr(torch.Tensor, name, refuse)
        patch.setattr("sklearn_ltd._torch._on_cpu", lambda x: False)
        patch.setattr("sklearn_ltd._sparse._on_cpu", lambda x: False)
        yield


def run_three(step):
    """Two epochs of warm-up and one in which the temperatures learn.

    The first time they make what is kept with the graph, as transposes.
    """
    step.n_epochs = 0
    for _ in range(3):
        step()


@pytest.mark.parametrize(("backbone", "in_field"), IN_FIELD)
def test_epochs_do_not_wait_for_the_device(graph, backbone, in_field):
    step = make_step(graph, backbone, 0.4, "tensor_adam", in_field)
    run_three(step)
    with no_waiting():
        run_three(step)
        step.snapshot()


@pytest.mark.parametrize(
    ("wait", "seen"),
    [
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: x.cpu(), "copied to the CPU"),
        (lambda x: x.tolist(), "copied to the CPU"),
        (lambda x: x[x > 0], "index"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.__setitem__(x > 0, x[:1].clone()), "index_put_"),
    ],
)
def test_waiting_would_be_seen(wait, seen):
    with no_waiting(), pytest.raises(AssertionError, match=seen):
        wait(torch.randn(3))


@NEEDS_CUDA
@pytest.mark.parametrize(("backbone", "in_field"), IN_FIELD)
def test_epochs_on_a_gpu_do_not_wait_for_it_and_give_the_same(backbone, in_field, monkeypatch):
    monkeypatch.setattr(TemperatureNetwork, "dropout", 0.0)  # devices draw differently
    monkeypatch.setenv("SKLEARN_LTD_CUDA_GRAPHS", "0")
    steps = [
        make_step(graph_on(device), backbone, 0.0, "tensor_adam", in_field)
        for device in ("cpu", "cuda")
    ]
    for step in steps:
        run_three(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in steps:
            run_three(step)
            step.snapshot()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu, on_gpu = steps
    torch.testing.assert_close(on_gpu.logits.cpu(), on_cpu.logits)
    for ours, theirs in zip(on_gpu.network.parameters(), on_cpu.network.parameters()):
        torch.testing.assert_close(ours.cpu(), theirs)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_epochs_share_a_pass_and_no_number_changes(graph, backbone):
    """As if every epoch, learned or not, began anew with the student's parameters."""
    steps = [make_step(graph, backbone, 0.4, "tensor_adam") for _ in range(2)]
    calls = [Counter(), Counter()]
    for step, counter in zip(steps, calls):
        if step.module.first_layer:
            first = step.module.get_submodule(step.module.first_layer)
            first.register_forward_hook(lambda *args, counter=counter: counter.update(["call"]))
    for epoch in range(4):
        steps[1]._shared = None
        found = []
        for step in steps:
            torch.manual_seed(epoch)
            found.append(step())
        assert found[0][0] == found[1][0]
        assert torch.equal(found[0][1], found[1][1])
    if steps[0].module.first_layer:
        assert [counter["call"] for counter in calls] == [1 + 4, 2 * 4]


def test_an_epoch_sees_what_others_did_to_a_module_of_theirs(graph):
    """Its gradient is that at the parameters as they are, not as the last step left them."""
    step = make_step(graph, pyg_style, 0.4, "tensor_adam")
    seen = []
    first = step.module.module.convs[0].lin_l
    first.register_forward_pre_hook(lambda *_: seen.append(first.bias.max().item()))
    for _ in range(2):
        step()
        with torch.no_grad():
            first.bias.fill_(7.0)
        seen.clear()
    step()
    assert seen[0] == 7


def test_the_temperatures_learn_in_every_epoch_after_the_warm_up(graph):
    step = make_step(graph, "gcn", 0.0, "adam")
    learned = []
    for _ in range(5):
        before = step.network.first.weight.detach().clone()
        step()
        learned.append(not torch.equal(step.network.first.weight, before))
    assert learned == [False, False, True, True, True]


def test_the_network_sees_the_entropy_of_the_teachers_predictions(graph):
    step = make_step(graph, "gcn", 0.0, "adam")
    probabilities = step.teacher_logits.numpy()
    probabilities = np.exp(probabilities) / np.exp(probabilities).sum(axis=1, keepdims=True)
    around = graph.neighbor_mean.to_dense().numpy() @ probabilities
    np.testing.assert_allclose(step.entropy, scipy_entropy(around, axis=1))


def test_the_history_tells_the_share_of_negative_temperatures(graph, monkeypatch):
    step = make_step(graph, "gcn", 0.0, "adam")
    tau = torch.linspace(-1, 2, N, dtype=torch.float64)
    monkeypatch.setattr(step.network, "forward", lambda logits, entropy: tau)
    losses, _ = step()
    assert losses["temperature_negative"].item() == pytest.approx(5 / 14)
    assert losses["temperature_mean"].item() == pytest.approx(0.5)
    found = [losses[f"temperature_{name}"].item() for name in ("q05", "median", "q95")]
    assert found == pytest.approx(tau[[1, 6, 12]].tolist())  # the nearest entries


def test_a_student_may_have_parameters_without_a_part_in_its_output(graph):
    """A custom module's; their gradient is zero."""

    class Spare(torch.nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.spare = torch.nn.Parameter(torch.ones(3))
            self.used = torch.nn.Linear(n_features, n_classes)

        def forward(self, x, edge_index):
            return self.used(x)

    step = make_step(graph, Spare, 0.0, "adam")
    step.optimizer.param_groups[0]["weight_decay"] = 0
    before = step.module.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    for _ in range(4):
        step()
    same = {name for name, value in step.module.state_dict().items() if value.equal(before[name])}
    assert {name.split(".")[-1] for name in same} == {"spare"}


def test_temperatures_are_set_anew_and_learn_once_in_an_interval(graph):
    step = make_step(graph, "gcn", 0.4, "tensor_adam")
    step.interval, step.warmup_iter = 3, 2
    means, states = [], []
    for _ in range(7):
        losses, _ = step()
        means.append(losses["temperature_mean"].item())
        states.append(torch.cat([p.detach().flatten() for p in step.network.parameters()]))
    renewed = [before != after for before, after in pairwise(means)]
    assert renewed == [False, True, False, False, True, False]  # counted from the warm-up's end
    moved = [not before.equal(after) for before, after in pairwise(states)]
    assert moved == renewed


def test_learning_moves_the_temperatures_and_a_rate_of_zero_does_not():
    data = make_attributed_sbm(n_nodes=120, random_state=0)
    settings = {"hidden_dim": 8, "max_iter": 40, "warmup_iter": 5, "random_state": 0}
    settings["temperature_interval"] = 1

    def spread(rate):
        clf = LTDNodeClassifier(temperature_learning_rate=rate, **settings)
        clf.fit(data.graph[:60], data.y[:60])
        return clf

    frozen, learned = spread(0.0), spread(0.05)
    same = LTDNodeClassifier(temperature_learning_rate=0.0, **settings).set_params(warmup_iter=40)
    same.fit(data.graph[:60], data.y[:60])
    np.testing.assert_array_equal(frozen.temperatures_, same.temperatures_)
    assert np.abs(frozen.temperatures_ - learned.temperatures_).max() > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_golden_run(seed):
    """LTD reaches 95 % on a generated graph whose features alone give about 80 %."""
    data = make_attributed_sbm(n_nodes=600, homophily=0.75, feature_noise=3, random_state=seed)
    clf = LTDNodeClassifier(random_state=seed).fit(data.graph[:120], data.y[:120])
    assert clf.score(data.graph[120:], data.y[120:]) >= 0.95
    alone = LTDNodeClassifier("mlp", "mlp", random_state=seed).fit(data.graph[:120], data.y[:120])
    assert alone.score(data.graph[120:], data.y[120:]) < 0.9
