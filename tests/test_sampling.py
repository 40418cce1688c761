"""Large graphs: sampled neighbours, prediction in chunks, training in mini-batches."""

import errno
import gc
import os
import sys
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier, _neighborhood, _sampling
from sklearn_ltd._backbones import make_backbone
from sklearn_ltd._neighborhood import LargeGraph, draw_distinct, receptive_field
from sklearn_ltd._sparse import SelectedRows
from sklearn_ltd._tensors import EdgeTensors, GraphTensors, shrinkage
from sklearn_ltd._whole import Rows
from sklearn_ltd.datasets import make_attributed_sbm

STAGED = ["gcn", "gat", "sage", "sgc", "mlp"]
N = 60


@pytest.fixture
def directed():
    """A weighted, directed graph with isolated nodes, a self-loop and a hub."""
    rng = np.random.RandomState(0)
    adjacency = sp.random_array((N, N), density=0.08, random_state=rng, format="lil")
    adjacency[:, 5] = 1.0  # node 5 receives from everybody, itself too
    adjacency[:, :3] = 0
    return Graph(adjacency.tocsr(), rng.standard_normal((N, 7)))


def random_module(backbone, n_layers=2):
    torch.manual_seed(0)
    module = make_backbone(backbone, 7, 3, 16, n_layers, 0.5).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@torch.no_grad()
def full_logits(module, graph):
    return module(GraphTensors(EdgeTensors(graph.adjacency), graph.X))


@pytest.mark.parametrize("row_by_row", [False, True])
def test_draws_are_distinct_and_every_number_is_as_likely(row_by_row, monkeypatch):
    monkeypatch.setattr(_neighborhood, "_MANY", 0 if row_by_row else 200)
    rng = np.random.RandomState(0)
    count = np.repeat([4, 7], 3000)
    numbers = draw_distinct(count, 4, rng)
    for n in (4, 7):
        rows = np.sort(numbers[count == n], axis=1)
        assert (np.diff(rows, axis=1) > 0).all()
        share = np.bincount(rows.ravel(), minlength=n) / len(rows)
        assert_allclose(share, 4 / n, atol=0.04)


@pytest.mark.parametrize("dense", ["float32", "float64", "in sparse form"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("backbone", ["gcn", "sage", "sgc"])
def test_a_sample_of_all_neighbors_gives_logits_and_gradients_of_the_full_graph(
    directed, backbone, n_layers, dense
):
    """Where the features are averaged in advance, over one hop less."""
    X = {"float32": directed.X.astype(np.float32), "in sparse form": sp.csr_array(directed.X)}
    graph = directed.with_features(X.get(dense, directed.X))
    module, seeds = random_module(backbone, n_layers).double(), np.array([0, 5, 9, 30])
    large, rng = LargeGraph(graph, dtype=torch.float64), np.random.RandomState(0)
    sample = large.sample(seeds, n_layers, N, rng, module.averages_over)
    assert sample.n_nodes == len(large.neighborhood(seeds, n_layers - 1).nodes)
    whole = GraphTensors(EdgeTensors(graph.adjacency, dtype=torch.float64), graph.X)
    results = []
    for tensors, rows in ((whole, seeds), (sample, slice(None))):
        logits = module(tensors)[rows]
        loss = logits.square().sum()
        results.append((logits, *torch.autograd.grad(loss, list(module.parameters()))))
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backbone", ["gat", "mlp"])
def test_other_networks_read_the_features_of_the_sample(directed, backbone):
    module = random_module(backbone)
    large, rng = LargeGraph(directed), np.random.RandomState(0)
    n_hops = sum(n_hops for n_hops, _ in module.stages())
    sample = large.sample(np.array([5, 9]), n_hops, N, rng, module.averages_over)
    assert_allclose(
        module(sample).detach(), full_logits(module, directed)[[5, 9]], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_hops", [1, 2, 3])
def test_a_seed_takes_as_many_nodes_with_averages_as_without(n_hops, sparse):
    graph = make_attributed_sbm(n_nodes=3000, average_degree=200, random_state=0).graph
    if sparse:
        graph = with_few_features(graph)
    rng = np.random.RandomState(0)
    for averages_over in (None, "symmetric", "mean"):
        sample = LargeGraph(graph).sample(np.array([7]), n_hops, 4, rng, averages_over)
        at_most = sum(4**i for i in range(n_hops + 1))
        if averages_over is not None and not sparse:
            at_most = {1: 1, 2: 1 + 16, 3: 1 + 8 + 64}[n_hops]
        assert 0.8 * at_most <= sample.n_nodes <= at_most


def test_averages_are_made_once_and_kept_with_the_graph(directed, monkeypatch):
    averages = LargeGraph(directed).averaged("mean")
    expected = EdgeTensors(directed.adjacency).mean.matrix.to_dense()
    assert_allclose(averages[:, :-1], expected @ torch.tensor(directed.X).float(), atol=1e-6)
    assert_allclose(averages[:, -1], expected.sum(1), atol=1e-6)
    monkeypatch.setattr(LargeGraph, "neighborhood", None)
    assert LargeGraph(directed[:5]).averaged("mean") is averages


def test_averages_of_features_on_disk_are_there_too(directed, tmp_path):
    directed.save(tmp_path / "graph")
    np.save(tmp_path / "X.npy", directed.X.astype(np.float32))
    opened = Graph.open(tmp_path / "graph")
    mapped = directed.with_features(np.load(tmp_path / "X.npy", mmap_mode="r"))
    for graph in (opened, opened.with_features(opened.X), mapped):
        averages = LargeGraph(graph).averaged("symmetric")
        assert isinstance(averages, np.memmap)
        assert_array_equal(averages, LargeGraph(directed).averaged("symmetric"))
    assert len(list(tmp_path.iterdir())) == len(list((tmp_path / "graph").iterdir())) == 2


def test_all_neighbors_may_be_asked_for_by_any_large_number(directed):
    clf = GNNNodeClassifier(batch_size=10, n_neighbors=sys.maxsize, max_iter=2, random_state=0)
    assert clf.fit(directed, np.arange(N) % 2).n_iter_ == 2


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="of POSIX systems")
def test_a_full_disk_is_told_of(directed, tmp_path, monkeypatch):
    directed.save(tmp_path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    clf = GNNNodeClassifier(batch_size=10, random_state=0)
    with pytest.raises(OSError, match="No space left") as raised:
        clf.fit(Graph.open(tmp_path), np.arange(N) % 2)
    assert "TMPDIR" in raised.value.__notes__[0]


def test_more_neighbors_than_there_are_cost_nothing(directed):
    large, seeds = LargeGraph(directed), np.array([5, 9, 30])
    some = large.neighborhood(seeds, 2, 10**9, np.random.RandomState(0))
    every = large.neighborhood(seeds, 2)
    assert_array_equal(some.nodes, every.nodes)
    assert_array_equal(some.incoming.toarray(), every.incoming.toarray())


def test_a_neighborhood_holds_a_few_true_edges_of_each_node(directed):
    seeds = np.array([5, 9, 30])
    hood = LargeGraph(directed).neighborhood(seeds, 2, 3, np.random.RandomState(0))
    assert_array_equal(hood.nodes[:3], seeds)
    assert len(np.unique(hood.nodes)) == len(hood.nodes)
    incoming = directed.adjacency.T.toarray()
    for row, node in enumerate(hood.nodes):
        start, stop = hood.incoming.indptr[row : row + 2]
        sources = hood.nodes[hood.incoming.indices[start:stop]]
        degree = np.count_nonzero(incoming[node])
        assert len(np.unique(sources)) == len(sources) <= min(3, degree)
        ratio = degree / max(1, min(3, degree))
        assert_allclose(hood.incoming.data[start:stop], incoming[node, sources] * ratio)
        if row < 3:
            assert len(sources) == min(3, degree)


@pytest.mark.parametrize("backbone", ["gcn", "sage", "sgc"])
def test_a_sample_tells_how_the_features_shrink(backbone, monkeypatch):
    graph = make_attributed_sbm(n_nodes=2000, average_degree=40, random_state=0).graph
    monkeypatch.setattr(_neighborhood, "_N_SAMPLED", 2000)
    module = make_backbone(backbone, graph.shape[1], 3, 16, 2, 0.5)
    _, average, n_hops = module.feature_weights()[0]
    whole = GraphTensors(EdgeTensors(graph.adjacency), graph.X)
    expected = shrinkage([(whole, None)], average, 1.0)
    assert expected < 0.6
    large = LargeGraph(graph)
    for batch_size in (100, 2000):
        found = shrinkage(large.samples(n_hops, batch_size, 100), average, 1.0)
        assert found == pytest.approx(expected, rel=0.1)
    few = shrinkage(large.samples(n_hops, 100, 5), average, 1.0)  # averages of five shrink less
    assert few > 1.3 * expected
    for batch_size in (1, 8, 100):
        known = large.samples(n_hops, batch_size, 5, module.averages_over)  # those over all
        assert shrinkage(known, average, 1.0) == pytest.approx(expected, rel=0.1)


def test_a_sample_is_no_larger_than_mini_batches():
    graph = make_attributed_sbm(n_nodes=5000, average_degree=40, random_state=0).graph
    samples = list(LargeGraph(graph).samples(2, 8, 3))
    assert sum(n_seeds for _, n_seeds in samples) > 800
    assert all(n_seeds <= 8 and tensors.n_nodes <= 8 * 13 for tensors, n_seeds in samples)


def test_a_neighborhood_is_given_up_before_most_of_the_graph_is_read(directed):
    large, hub = LargeGraph(directed), np.array([5])
    assert large.neighborhood(hub, 2, most=10) is None
    hood, expected = (
        graph.neighborhood(hub, 1, most=10) for graph in (large, LargeGraph(directed))
    )
    assert_array_equal(hood.nodes, expected.nodes)
    assert len(hood.nodes) == N


def test_parts_are_freed_without_the_garbage_collector(directed):
    """A prediction in chunks, or an epoch of mini-batches, would pile them up."""
    large = LargeGraph(directed)
    gc.disable()
    try:
        for n_hops in (0, 1, 2):
            part = large.tensors(large.neighborhood(np.arange(4), n_hops))
            kept = weakref.ref(part), weakref.ref(part.inner)
            del part
            assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()


def with_few_features(graph):
    few = graph.X * (np.random.RandomState(1).random_sample(graph.X.shape) < 0.2)
    return graph.with_features(sp.csr_array(few))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("backbone", STAGED)
def test_a_field_gives_logits_and_gradients_of_the_full_graph(
    directed, backbone, n_layers, kept, sparse
):
    """What some nodes depend on is enough, one hop less of it at every layer."""
    graph = with_few_features(directed) if sparse else directed
    module, seeds = random_module(backbone, n_layers), np.array([0, 5, 9, 30])
    large = LargeGraph(graph, dtype=torch.float64)
    n_hops = 0 if backbone == "mlp" else n_layers
    field = large.tensors(large.neighborhood(seeds, n_hops), kept=kept)
    whole = GraphTensors(EdgeTensors(graph.adjacency, dtype=torch.float64), graph.X)
    results = []
    for tensors, rows in ((whole, seeds), (field, slice(None))):
        logits = module.double()(tensors)[rows]
        assert len(logits) == len(seeds)
        loss = logits.square().sum()
        results.append((logits, *torch.autograd.grad(loss, list(module.parameters()))))
    for found, expected in zip(results[1], results[0]):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        module(field, **module.shared(field, dict(module.named_parameters()))), results[0][0]
    )


@pytest.mark.parametrize("role_given", [False, True])
@pytest.mark.parametrize("backbone", [*STAGED, "appnp"])
def test_supervised_training_computes_what_labelled_nodes_depend_on_alone(
    backbone, role_given, monkeypatch
):
    """And the numbers are the same."""
    data = make_attributed_sbm(n_nodes=1500, average_degree=4, random_state=0)
    role = np.array(["train", "stop", "temperature"])[np.arange(90) % 3] if role_given else None
    fields, fits = [], []
    for most_hidden in (0.0, 0.75):

        def spy(*args, most_hidden=most_hidden):
            fields.append(receptive_field(*args, most_hidden=most_hidden))
            return fields[-1]

        monkeypatch.setattr("sklearn_ltd._base.receptive_field", spy)
        clf = GNNNodeClassifier(backbone, dropout=0, max_iter=15, random_state=0)
        fits.append(clf.fit(data.graph[:90], data.y[:90], role=role))
    assert fields[0] is None
    assert fields[1] is None if backbone == "appnp" else fields[1].n_nodes < 1200
    for record, expected in zip(fits[1].history_, fits[0].history_, strict=True):
        assert record == pytest.approx(expected, rel=1e-3)
    assert_allclose(fits[1].predict_proba(data.graph), fits[0].predict_proba(data.graph), atol=1e-3)


def test_sampled_neighbors_are_right_on_average(directed):
    """The sum over sampled edges, weights grown, has the mean of the sum over all."""
    large, rng = LargeGraph(directed), np.random.RandomState(0)
    signal = np.random.RandomState(1).standard_normal(N)
    sums = []
    for _ in range(3000):
        hood = large.neighborhood(np.array([5]), 1, 6, rng)
        sums.append((hood.incoming @ signal[hood.nodes])[0])
    exact = (directed.adjacency.T @ signal)[5]
    assert np.mean(sums) == pytest.approx(exact, abs=4 * np.std(sums) / np.sqrt(3000))


FEATURES = {
    "float32": lambda graph: graph.with_features(graph.X.astype(np.float32)),
    "float64": lambda graph: graph,
    "sparse": with_few_features,
}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("backbone", STAGED)
def test_prediction_in_chunks_equals_that_of_the_full_graph(
    directed, backbone, n_layers, features, monkeypatch
):
    monkeypatch.setattr(_neighborhood, "_CHUNK_EDGES", 50)
    graph = FEATURES[features](directed)
    module = random_module(backbone, n_layers)
    expected = full_logits(module, graph)
    for nodes in (np.arange(N), np.array([30, 5, 5])):
        logits = LargeGraph(graph).run(module.stages(), nodes)
        assert_allclose(logits, expected[nodes], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def blocks():
    return make_attributed_sbm(n_nodes=1500, feature_noise=4, random_state=0)


@pytest.mark.parametrize("backbone", ["gcn", "sage"])
def test_features_are_read_where_they_lie(blocks, backbone, monkeypatch):
    """A product over few edges makes no copy of the rows at their sources."""
    large, rng = LargeGraph(blocks.graph), np.random.RandomState(0)
    field = large.tensors(large.neighborhood(np.arange(20), 2, 5, rng))
    module = make_backbone(backbone, blocks.graph.X.shape[1], 3, 64, 2, 0.5).eval()
    copied = []
    index_select = torch.Tensor.index_select

    def spy(x, dim, rows):
        copied.append(len(rows) if x.dim() == 2 else 0)
        return index_select(x, dim, rows)

    monkeypatch.setattr(torch.Tensor, "index_select", spy)
    logits = module(field)
    rows = field.inner.n_nodes if backbone == "sage" else 0  # those of the targets
    assert max(copied) == rows < field.n_nodes
    assert field.x.to_dense() is field.x.to_dense()
    torch.testing.assert_close(module(field), logits)


def test_what_labelled_nodes_depend_on_is_averaged_without_a_copy(blocks, monkeypatch):
    module = make_backbone("gcn", blocks.graph.X.shape[1], 3, 2, 2, 0.5).eval()
    field = receptive_field(module, blocks.graph, np.arange(3), "cpu")
    monkeypatch.setattr(type(field.x), "to_dense", None)
    module(field)


def test_hidden_layers_are_read_where_they_lie_and_not_checked(blocks):
    """What is wrong with them is not said of the features."""

    def mean(h, graph):
        assert isinstance(h, SelectedRows)
        return graph.edges.mean @ h

    hidden = np.random.RandomState(0).standard_normal((blocks.graph.n_nodes, 32)).astype(np.float32)
    hidden[7] = np.inf
    nodes = np.arange(blocks.graph.n_nodes)
    means = LargeGraph(blocks.graph).run([(1, mean)], nodes, hidden)
    assert 0 < np.isinf(means).any(axis=1).sum() < len(nodes)


@pytest.mark.parametrize(
    "spoil",
    [np.asfortranarray, lambda X: X.astype(">f4"), lambda X: np.repeat(X, 2, axis=0)[::2]],
    ids=["by columns", "big-endian", "every other row"],
)
def test_features_that_cannot_be_read_in_their_place_are_copied(blocks, spoil):
    """As they may lie in a file, which is not read when it is opened."""
    graph = blocks.graph.with_features(blocks.graph.X)
    graph._whole.X = spoil(graph.X)
    large = LargeGraph(graph)
    x = large.tensors(large.neighborhood(np.arange(20), 1)).x
    expected = LargeGraph(blocks.graph)
    expected = expected.tensors(expected.neighborhood(np.arange(20), 1)).x
    torch.testing.assert_close(x, expected.to_dense())


def test_places_are_wide_enough_for_the_edges_of_a_hop(directed, monkeypatch):
    indices = np.broadcast_to(np.int32(0), 2**31)
    monkeypatch.setattr(type(directed._whole), "incoming_rows", Rows(None, indices, None, N))
    assert LargeGraph(directed)._place.dtype == np.int64


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("backbone", STAGED)
def test_features_are_checked_where_they_are_read(blocks, backbone, n_layers, value):
    graph = blocks.graph.with_features(blocks.graph.X.copy())
    graph.X[7, 3] = value  # behind its back, as in a file
    module = make_backbone(backbone, graph.X.shape[1], 3, 64, n_layers, 0.5).eval()
    with pytest.raises(ValueError, match=rf"finite.*got {value} in row 7, column 3"):
        LargeGraph(graph).run(module.stages(), np.arange(20))
    large = LargeGraph(graph)
    n_hops = sum(n_hops for n_hops, _ in module.stages())
    field = large.tensors(large.neighborhood(np.arange(20), n_hops, 5, np.random.RandomState(0)))
    with pytest.raises(ValueError, match=rf"finite.*got {value} in row 7, column 3"):
        module(field)
    if module.averages_over:
        with pytest.raises(ValueError, match=rf"finite.*got {value} in row 7, column 3"):
            large.averaged(module.averages_over)


SETTINGS = {"max_iter": 25, "hidden_dim": 16, "batch_size": 64, "n_neighbors": 5, "random_state": 0}


@pytest.mark.parametrize("backbone", STAGED[:4])
def test_mini_batches_learn_as_well_as_the_full_graph(blocks, backbone):
    train, test = blocks.graph[:300], blocks.graph[300:]
    clf = GNNNodeClassifier(backbone, **SETTINGS).fit(train, blocks.y[:300])
    assert clf.score(test, blocks.y[300:]) > 0.9
    again = GNNNodeClassifier(backbone, **SETTINGS).fit(train, blocks.y[:300])
    assert_array_equal(clf.decision_function(test), again.decision_function(test))
    batched = clf.decision_function(test), clf.transform(test)
    clf.set_params(batch_size=None)
    for part, full in zip(batched, (clf.decision_function(test), clf.transform(test))):
        assert_allclose(part, full, atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{"scalable": True}, {"temperature": 1.0}])
def test_distillation_in_mini_batches(blocks, options):
    train, test = blocks.graph[:300], blocks.graph[300:]
    clf = LTDNodeClassifier(**SETTINGS, **options).fit(train, blocks.y[:300])
    assert clf.teacher_.batch_size == 64
    assert clf.score(test, blocks.y[300:]) > 0.9
    full = LTDNodeClassifier(clf.teacher_proba_.clip(1e-9), max_iter=1, random_state=0, **options)
    with pytest.warns(UserWarning, match="the teacher is"):
        full.set_params(teacher=np.log(clf.teacher_proba_)).fit(train, blocks.y[:300])
    assert_allclose(clf.temperatures_, full.temperatures_, atol=1e-4)


def test_distillation_in_mini_batches_without_stop_nodes(blocks):
    clf = LTDNodeClassifier(**SETTINGS, scalable=True)
    clf.set_params(validation_fraction=0, max_iter=3).fit(blocks.graph[:300], blocks.y[:300])
    assert clf.n_iter_ == clf.best_iter_ == 3
    assert "agreement" not in clf.history_[0]


def test_the_whole_graph_is_never_made_in_mini_batch_training(blocks, tmp_path, monkeypatch):
    blocks.graph.save(tmp_path)
    graph = Graph.open(tmp_path)
    largest = []
    entries = _neighborhood.Rows.entries

    def counting(rows, positions):
        largest.append(len(positions))
        return entries(rows, positions)

    monkeypatch.setattr(_neighborhood.Rows, "entries", counting)
    monkeypatch.setattr(_neighborhood, "_CHUNK_EDGES", 100)
    step = _sampling.SampledStep.__call__
    seen = []

    def watched(self):
        largest.clear()
        result = step(self)
        seen.append(max(largest))
        return result

    monkeypatch.setattr(_sampling.SampledStep, "__call__", watched)
    settings = SETTINGS | {"batch_size": 16, "n_neighbors": 3, "max_iter": 2}
    clf = GNNNodeClassifier(**settings).fit(graph[:40], blocks.y[:40])
    assert 0 < max(seen) <= 16 * 3 * 3 < graph.adjacency.nnz
    in_memory = Graph(blocks.graph.adjacency, blocks.graph.X)  # of which no averages are there
    same = GNNNodeClassifier(**settings).fit(in_memory[:40], blocks.y[:40])
    assert_array_equal(clf.decision_function(graph), same.decision_function(in_memory))


def test_learned_temperatures_need_the_whole_graph(blocks):
    clf = LTDNodeClassifier(batch_size=10)
    with pytest.raises(ValueError, match="scalable=True or temperature"):
        clf.fit(blocks.graph[:300], blocks.y[:300])


def own(n_features, n_classes):
    return torch.nn.Linear(n_features, n_classes)


@pytest.mark.parametrize("backbone", ["appnp", own])
def test_mini_batches_need_a_backbone_of_few_hops(blocks, backbone, monkeypatch):
    monkeypatch.setattr(LargeGraph, "neighborhood", None)  # nothing is read before
    clf = GNNNodeClassifier(backbone, batch_size=10)
    with pytest.raises(ValueError, match="'gcn', 'gat', 'sage'"):
        clf.fit(blocks.graph[:300], blocks.y[:300])
