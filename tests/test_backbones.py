"""Every built-in network against PyG's layers with the same weights."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch_geometric.nn as pyg

from sklearn_ltd import _tensors
from sklearn_ltd._backbones import BACKBONES, EdgeIndexModule, make_backbone
from sklearn_ltd._sparse import SparseMatrix
from sklearn_ltd._tensors import EdgeTensors, GraphTensors, shrinkage

N, D, C, HIDDEN = 20, 7, 3, 16


def random_graph(directed, weighted, isolated=True):
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.15, random_state=rng, format="csr")
    if not weighted:
        adjacency.data[:] = 1
    if not directed:
        adjacency = adjacency.maximum(adjacency.T)
    if isolated:
        keep = sp.diags_array((np.arange(N) > 2).astype(float))
        adjacency = keep @ adjacency @ keep
    adjacency = sp.csr_array(adjacency)
    adjacency.eliminate_zeros()
    return adjacency


GRAPHS = {
    "undirected": random_graph(False, False),
    "weighted": random_graph(False, True),
    "directed": random_graph(True, True),
}


class Stack(torch.nn.Module):
    """Two PyG layers with ReLU between."""

    def __init__(self, first, second, weighted=True, activation=torch.relu):
        super().__init__()
        self.first, self.second = first, second
        self.weighted, self.activation = weighted, activation

    def forward(self, x, edge_index, edge_weight):
        args = (edge_index, edge_weight) if self.weighted else (edge_index,)
        return self.second(self.activation(self.first(x, *args)), *args)


def copy(target, source):
    with torch.no_grad():
        for t, s in zip(target, source):
            t.copy_(s.view_as(t))


def pyg_gcn(ours):
    theirs = Stack(pyg.GCNConv(D, HIDDEN), pyg.GCNConv(HIDDEN, C))
    for conv, layer in zip((theirs.first, theirs.second), ours.layers):
        copy([conv.lin.weight, conv.bias], [layer.linear.weight, layer.bias])
    return theirs


def pyg_sage(ours):
    theirs = Stack(pyg.SAGEConv(D, HIDDEN), pyg.SAGEConv(HIDDEN, C), weighted=False)
    for conv, layer in zip((theirs.first, theirs.second), ours.layers):
        copy(
            [conv.lin_l.weight, conv.lin_l.bias, conv.lin_r.weight],
            [layer.neighbors.weight, layer.bias, layer.root.weight],
        )
    return theirs


def pyg_gat(ours):
    first = pyg.GATConv(D, HIDDEN // 8, heads=8)
    second = pyg.GATConv(HIDDEN, C, heads=1, concat=False)
    for conv, layer in zip((first, second), ours.layers):
        copy(
            [conv.lin.weight, conv.att_src, conv.att_dst, conv.bias],
            [layer.linear.weight, layer.source, layer.target, layer.bias],
        )
    return Stack(first, second, weighted=False, activation=torch.nn.functional.elu)


def pyg_appnp(ours):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linears = [torch.nn.Linear(D, HIDDEN), torch.nn.Linear(HIDDEN, C)]
            for linear, layer in zip(self.linears, ours.predict.layers):
                copy([linear.weight, linear.bias], [layer.weight, layer.bias])
            self.propagate = pyg.APPNP(10, 0.1)

        def forward(self, x, edge_index, edge_weight):
            z = self.linears[1](self.linears[0](x).relu())
            return self.propagate(z, edge_index, edge_weight)

    return Model()


def pyg_sgc(ours):
    theirs = pyg.SGConv(D, C, K=2)
    copy([theirs.lin.weight, theirs.lin.bias], [ours.linear.weight, ours.bias])
    return theirs


def pyg_mlp(ours):
    mlp = pyg.MLP([D, HIDDEN, C], norm=None)
    for linear, layer in zip(mlp.lins, ours.layers):
        copy([linear.weight, linear.bias], [layer.weight, layer.bias])
    return lambda x, edge_index, edge_weight: mlp(x)


# PyG's SAGEConv and GATConv don't read edge weights; ours weight the mean of SAGE.
PYG = {
    "gcn": (pyg_gcn, list(GRAPHS)),
    "sage": (pyg_sage, ["undirected"]),
    "gat": (pyg_gat, list(GRAPHS)),
    "appnp": (pyg_appnp, list(GRAPHS)),
    "sgc": (pyg_sgc, list(GRAPHS)),
    "mlp": (pyg_mlp, ["undirected"]),
}


def build(name, adjacency, sparse):
    torch.manual_seed(0)
    rng = np.random.RandomState(1)
    X = rng.standard_normal((N, D)) * (rng.random_sample((N, D)) < 0.2)
    graph = GraphTensors(EdgeTensors(adjacency), sp.csr_array(X) if sparse else X)
    module = BACKBONES[name](D, C, HIDDEN).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return graph, module


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, (_, kinds) in PYG.items() for kind in kinds]
)
@torch.no_grad()
def test_forward_equals_pyg(name, kind, sparse):
    graph, module = build(name, GRAPHS[kind], sparse)
    theirs = PYG[name][0](module)(graph.dense_x, graph.edges.edge_index, graph.edges.edge_weight)
    torch.testing.assert_close(module(graph), theirs, rtol=1e-5, atol=1e-5)


def test_features_stay_sparse_where_that_takes_less_memory():
    edges = EdgeTensors(GRAPHS["undirected"])
    for density, kept in ((0.1, True), (0.5, False)):
        X = sp.random_array((N, D), density=density, random_state=0, format="csr")
        tensors = GraphTensors(edges, X)
        assert isinstance(tensors.x, SparseMatrix) == kept
        torch.testing.assert_close(tensors.dense_x, torch.from_numpy(X.toarray()).float())


def test_every_backbone_is_compared():
    assert set(PYG) == set(BACKBONES)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_renumbering_the_nodes_renumbers_the_logits(name):
    graph, module = build(name, GRAPHS["directed"], sparse=False)
    order = np.random.RandomState(2).permutation(N)
    adjacency = GRAPHS["directed"][order][:, order]
    renumbered = GraphTensors(EdgeTensors(adjacency), graph.x.numpy()[order])
    torch.testing.assert_close(module(renumbered), module(graph)[order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_messages_run_along_the_edges(name):
    """On the path 0 -> 1 -> 2 a change at node 2 reaches nobody else."""
    adjacency = sp.csr_array(nx.to_scipy_sparse_array(nx.path_graph(3, nx.DiGraph)))
    X = np.random.RandomState(0).standard_normal((3, D))
    _, module = build(name, GRAPHS["directed"], sparse=False)
    before = module(GraphTensors(EdgeTensors(adjacency), X))
    changed = X.copy()
    changed[2] += 1
    after = module(GraphTensors(EdgeTensors(adjacency), changed))
    torch.testing.assert_close(after[:2], before[:2])
    assert not torch.allclose(after[2], before[2])


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_depth_can_be_chosen(name, n_layers):
    graph = GraphTensors(EdgeTensors(GRAPHS["undirected"]), np.ones((N, D)))
    module = make_backbone(name, D, C, HIDDEN, n_layers, 0.5)
    assert module(graph).shape == (N, C)
    module(graph).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "appnp"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@torch.no_grad()
def test_stages_one_by_one_give_the_logits(name, n_layers):
    graph, _ = build(name, GRAPHS["weighted"], sparse=True)
    module = make_backbone(name, D, C, HIDDEN, n_layers, 0.5).eval()
    h = graph.x
    for _, stage in module.stages():
        h = stage(h, graph)
    assert torch.equal(module(graph), h)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_dropout_acts_in_training_only(name):
    graph, module = build(name, GRAPHS["undirected"], sparse=True)
    torch.testing.assert_close(module(graph), module(graph))
    module.train()
    assert not torch.allclose(module(graph), module(graph))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_graph_that_is_kept_gives_the_same_logits_and_gradients(name, sparse):
    graph, module = build(name, GRAPHS["weighted"], sparse)
    X = sp.csr_array(graph.dense_x.numpy()) if sparse else graph.x.numpy()
    kept = GraphTensors(graph.edges, X, kept=True)
    for _ in range(2):  # what is made at the first pass serves the second
        parameters = list(module.parameters())
        torch.testing.assert_close(module(kept), module(graph))
        expected = torch.autograd.grad(module(graph).square().sum(), parameters)
        torch.testing.assert_close(
            torch.autograd.grad(module(kept).square().sum(), parameters), expected
        )


@pytest.fixture
def multiplied_widths(monkeypatch):
    """Of what has been multiplied by sparse matrices."""
    widths, multiply = [], SparseMatrix.multiply
    monkeypatch.setattr(
        SparseMatrix,
        "multiply",
        lambda self, x, *rest: widths.append(x.shape[1]) or multiply(self, x, *rest),
    )
    return widths


def test_dense_features_of_a_kept_graph_are_propagated_once(multiplied_widths):
    graph, module = build("gcn", GRAPHS["weighted"], sparse=False)
    kept = GraphTensors(graph.edges, graph.x.numpy(), kept=True)
    module(kept)
    module(kept)
    assert multiplied_widths == [D, C, C]
    with torch.no_grad():
        module(kept)
        module(kept.for_one_pass())  # for which it does not pay
    assert multiplied_widths[3:] == [C, HIDDEN, C]


@pytest.mark.parametrize(("density", "widths"), [(0.2, [D]), (0.5, [HIDDEN])])
@pytest.mark.parametrize("kept", [False, True])
def test_dense_features_of_many_sources_are_averaged_before_they_are_multiplied(
    density, widths, kept, multiplied_widths
):
    """Unless there are many edges, too, each of which takes longer in more columns."""
    adjacency = sp.random_array((30, 5), density=density, random_state=0)
    edges = EdgeTensors(adjacency, degree=np.arange(1, 31))
    field = GraphTensors(edges, np.random.RandomState(0).standard_normal((30, D)), kept)
    layer = make_backbone("gcn", D, C, HIDDEN, 2, 0.5).layers[0]
    expected = edges.symmetric.matrix.to_dense() @ field.x @ layer.linear.weight.t()
    torch.testing.assert_close(layer(field.x, field), expected)
    assert multiplied_widths == ([D] if kept else widths)


@pytest.mark.parametrize(("n_directions", "tolerance"), [(64, 1e-4), (5, 0.5)])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", BACKBONES)
def test_shrinkage_is_that_of_the_features_as_the_network_averages_them(
    name, sparse, n_directions, tolerance, monkeypatch
):
    monkeypatch.setattr(_tensors, "_N_DIRECTIONS", n_directions)
    graph, module = build(name, GRAPHS["undirected"], sparse)
    symmetric, mean = (edges.to_dense() for edges in (graph.edges.symmetric, graph.edges.mean))
    pagerank = torch.eye(N)
    for _ in range(10):
        pagerank = 0.9 * symmetric @ pagerank + 0.1 * torch.eye(N)
    expected = {
        "gcn": [symmetric],
        "gat": [symmetric],
        "sage": [mean, None],
        "appnp": [pagerank],
        "sgc": [symmetric @ symmetric],
        "mlp": [None],
    }[name]
    centered = graph.dense_x - graph.dense_x.mean(0)
    for (weight, average, n_hops), matrix in zip(module.feature_weights(), expected, strict=True):
        assert weight.shape[1] == D
        assert (average is None) == (matrix is None) == (n_hops == 0)
        if average is not None:
            ratio = float((matrix @ centered).norm() / centered.norm())
            found = shrinkage([(graph, None)], average, 1.0)
            assert found == pytest.approx(ratio, rel=tolerance)


def mean_of_neighbors(h, graph):
    return graph.edges.mean @ h


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("offset", [0, 10])
def test_neither_unit_nor_mean_of_the_features_tells_how_they_shrink(unit, offset):
    edges = EdgeTensors(GRAPHS["undirected"])
    X = np.random.RandomState(0).standard_normal((N, D))
    expected = shrinkage([(GraphTensors(edges, X), None)], mean_of_neighbors, 1.0)
    graph = GraphTensors(edges, (X + offset) * unit)
    found = shrinkage([(graph, None)], mean_of_neighbors, unit)
    assert found == pytest.approx(expected, rel=1e-3)


def test_features_that_are_all_zero_do_not_shrink():
    graph = GraphTensors(EdgeTensors(GRAPHS["undirected"]), np.zeros((N, D)))
    assert shrinkage([(graph, None)], mean_of_neighbors, 1.0) == 1


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("training", [False, True])
def test_what_passes_share_changes_no_number(name, n_layers, training):
    graph, _ = build(name, GRAPHS["weighted"], sparse=True)
    module = make_backbone(name, D, C, HIDDEN, n_layers, 0.5).train(training)
    copies = {k: (v + 0.1).detach().requires_grad_() for k, v in module.named_parameters()}
    shared = module.shared(graph, copies)
    # Not where dropout acts on the features, or where there is no other layer.
    assert bool(shared) == (name not in ("gat", "sgc") and n_layers > 1)
    outcomes = []
    for given in ({}, shared):
        torch.manual_seed(0)
        logits = torch.func.functional_call(module, copies, (graph,), given)
        loss = logits.square().sum()
        outcomes.append((logits, *torch.autograd.grad(loss, list(copies.values()))))
    for without, with_shared in zip(*outcomes):
        assert torch.equal(without, with_shared)


def test_a_module_of_others_is_called_with_edge_index_and_gives_its_last_hidden_layer():
    graph, _ = build("gcn", GRAPHS["weighted"], sparse=True)
    theirs = pyg.models.GCN(D, 8, 2, C).eval()
    module = make_backbone(lambda n_features, n_classes: theirs, D, C, None, None, None)
    assert isinstance(module, EdgeIndexModule)
    expected = theirs(graph.dense_x, graph.edges.edge_index, edge_weight=graph.edges.edge_weight)
    torch.testing.assert_close(module(graph), expected)
    hidden = theirs.convs[0](graph.dense_x, graph.edges.edge_index, graph.edges.edge_weight).relu()
    torch.testing.assert_close(module.embed(graph), hidden)
