"""The fitted network outside of this package: PyG's call, gradients and explainers."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv, MessagePassing
from torch_geometric.utils import from_scipy_sparse_matrix

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd._backbones import BACKBONES

SETTINGS = {"max_iter": 3, "random_state": 0, "device": "cpu"}


class Net(torch.nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.conv = GCNConv(n_features, n_classes)

    def forward(self, x, edge_index, edge_weight=None):
        return self.conv(x, edge_index, edge_weight)


@pytest.fixture(scope="module")
def graph():
    """Directed and weighted, with self-loops, and nodes that receive nothing."""
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((30, 30), density=0.1, random_state=rng, format="lil")
    adjacency[[3, 4], [3, 4]] = 2.0
    adjacency[:, :2] = 0
    return Graph(adjacency, sp.csr_array(rng.standard_normal((30, 6))))


def tensors(graph):
    edge_index, edge_weight = from_scipy_sparse_matrix(graph.adjacency)
    return torch.tensor(graph.X.toarray(), dtype=torch.float32), edge_index, edge_weight.float()


@pytest.mark.parametrize("backbone", [*BACKBONES, Net])
def test_the_module_gives_the_logits_of_the_classifier(graph, backbone):
    y = np.arange(30) % 3
    clf = GNNNodeClassifier(backbone, hidden_dim=16, n_layers=3, **SETTINGS).fit(graph, y)
    module = clf.to_module()
    assert not module.training
    logits = module(*tensors(graph)).detach().numpy()
    np.testing.assert_allclose(logits, clf.decision_function(graph), atol=1e-5)
    swapped = [3, 2, 1, 0, *range(4, 30)]
    x, edge_index, edge_weight = tensors(graph)
    order = torch.randperm(len(edge_weight), generator=torch.Generator().manual_seed(0))
    place = torch.tensor(np.argsort(swapped))
    again = module(x[swapped], place[edge_index[:, order]], edge_weight[order]).detach()
    np.testing.assert_allclose(again, logits[swapped], atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_hooks_on_every_part_see_what_it_gave(graph, backbone, training):
    clf = GNNNodeClassifier(backbone, hidden_dim=8, **SETTINGS).fit(graph, np.arange(30) % 3)
    module = clf.to_module().train(training)
    seen, gradients = [], []
    for part in module.modules():
        part.register_forward_hook(lambda _, args, out: seen.append((out, out.detach().clone())))
        part.register_full_backward_hook(lambda *args: gradients.append(args))
    x, edge_index, edge_weight = tensors(graph)
    module(x.requires_grad_(), edge_index, edge_weight).sum().backward()
    assert len(seen) > 1
    assert len(gradients) > 1
    for out, then in seen:
        torch.testing.assert_close(out, then, rtol=0, atol=0)


def test_weights_are_one_by_default(graph):
    ones = Graph(graph.adjacency > 0, graph.X)
    clf = GNNNodeClassifier("sage", **SETTINGS).fit(ones, np.arange(30) % 3)
    x, edge_index, _ = tensors(ones)
    logits = clf.to_module()(x, edge_index).detach().numpy()
    np.testing.assert_allclose(logits, clf.decision_function(ones), atol=1e-5)


@pytest.mark.parametrize("backbone", [*BACKBONES, Net])
def test_gradients_reach_features_and_weights(graph, backbone):
    clf = GNNNodeClassifier(backbone, **SETTINGS).fit(graph, np.arange(30) % 3)
    x, edge_index, edge_weight = tensors(graph)
    x.requires_grad_()
    edge_weight.requires_grad_()
    clf.to_module()(x, edge_index, edge_weight).square().sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()
    if backbone not in ("mlp", "gat"):  # which do not read weights
        assert edge_weight.grad.abs().sum() > 0


def test_the_module_is_a_copy(graph):
    clf = GNNNodeClassifier(**SETTINGS).fit(graph, np.arange(30) % 3)
    before = clf.predict_proba(graph)
    with torch.no_grad():
        for parameter in clf.to_module().parameters():
            parameter.zero_()
    np.testing.assert_array_equal(clf.predict_proba(graph), before)


@pytest.mark.parametrize("backbone", [*BACKBONES, Net])
def test_an_explanation_marks_edges_and_features_that_the_node_can_see(tiny, backbone):
    X = tiny.graph.X.copy()
    X[:, 4:] = 0  # nothing can be read from these columns
    graph = Graph(tiny.graph.adjacency, X)
    clf = LTDNodeClassifier("gcn", backbone, temperature=1.0, max_iter=20, random_state=0)
    module = clf.fit(graph, tiny.y).to_module()
    edge_index, _ = from_scipy_sparse_matrix(graph.adjacency)
    explainer = Explainer(
        module,
        GNNExplainer(epochs=5),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type=None if backbone == "mlp" else "object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    explanation = explainer(torch.tensor(X, dtype=torch.float32), edge_index, index=7)
    assert explanation.node_mask[:, 4:].abs().sum() == 0
    assert explanation.node_mask[7].abs().sum() > 0
    if backbone != "mlp":
        targets = edge_index[1, explanation.edge_mask > 0]
        assert (targets == 7).any()


@pytest.mark.parametrize(("backbone", "hops"), [("gcn", 2), ("gat", 2), ("appnp", 10), ("mlp", 0)])
def test_explainers_know_how_far_a_node_sees(graph, backbone, hops):
    clf = GNNNodeClassifier(backbone, **SETTINGS).fit(graph, np.arange(30) % 3)
    layers = [m for m in clf.to_module().modules() if isinstance(m, MessagePassing)]
    assert len(layers) == hops


@pytest.mark.parametrize("backbone", ["gcn", "sage", "gat"])
def test_the_parameters_can_be_viewed_as_one_vector(backbone, graph):
    module = GNNNodeClassifier(backbone, **SETTINGS).fit(graph, np.arange(30) % 3).to_module()
    vector = torch.nn.utils.parameters_to_vector(module.parameters())
    assert len(vector) == sum(parameter.numel() for parameter in module.parameters())
