"""What must not change a prediction: numbering, formats, other nodes, names of labels."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd._backbones import BACKBONES

N, D = 60, 6
SETTINGS = {"hidden_dim": 8, "max_iter": 4, "random_state": 0, "device": "cpu"}

rng = np.random.RandomState(0)
ADJACENCY = sp.csr_array(
    sp.random_array((N, N), density=0.05, random_state=rng)
    + sp.diags_array((np.arange(N) % 7 == 0).astype(float))
)
X = rng.standard_normal((N, D)) * (rng.random_sample((N, D)) < 0.6)
Y = np.arange(N) % 3
KNOWN = np.arange(0, N, 2)


def gnn(backbone, **params):
    return GNNNodeClassifier(backbone, **SETTINGS | params)


def ltd(backbone, **params):
    teacher = GNNNodeClassifier(backbone, **SETTINGS | params)
    return LTDNodeClassifier(teacher, backbone, warmup_iter=1, **SETTINGS | params)


every_network = pytest.mark.parametrize(
    "clf",
    [make(name) for make in (gnn, ltd) for name in BACKBONES],
    ids=[f"{make.__name__}-{name}" for make in (gnn, ltd) for name in BACKBONES],
)


@pytest.fixture(scope="module", params=BACKBONES)
def fitted(request):
    """A network with fixed parameters, and its probabilities."""
    clf = gnn(request.param).fit(Graph(ADJACENCY, X), Y)
    return clf, clf.predict_proba(Graph(ADJACENCY, X))


def refit(clf, graph, y=Y):
    return clone(clf).fit(graph[KNOWN], y[KNOWN]).predict_proba(graph)


def test_renumbered_nodes_have_renumbered_predictions(fitted):
    clf, expected = fitted
    for seed in range(3):
        order = np.random.RandomState(seed).permutation(N)
        renumbered = Graph(ADJACENCY[order][:, order], X[order])
        np.testing.assert_allclose(clf.predict_proba(renumbered), expected[order], atol=1e-5)


def test_isolated_nodes_leave_the_other_predictions_alone(fitted):
    clf, expected = fitted
    more = Graph(sp.block_diag([ADJACENCY, sp.csr_array((5, 5))]), np.vstack([X, X[:5] + 1]))
    np.testing.assert_allclose(clf.predict_proba(more)[:N], expected, atol=1e-6)


def test_another_component_leaves_the_other_predictions_alone(fitted):
    clf, expected = fitted
    twice = Graph(sp.block_diag([ADJACENCY, ADJACENCY]), np.vstack([X, X]))
    np.testing.assert_allclose(clf.predict_proba(twice), np.vstack([expected] * 2), atol=1e-6)


@pytest.mark.parametrize(
    "nodes", [[5], [3, 3, 0], slice(None, None, -1), np.arange(N) % 4 == 1, []]
)
def test_predictions_on_a_view_are_rows_of_those_on_the_whole(fitted, nodes):
    clf, expected = fitted
    view = Graph(ADJACENCY, X)[nodes]
    np.testing.assert_array_equal(clf.predict_proba(view), expected[nodes])


def test_sparse_features_are_predicted_like_dense_ones(fitted):
    clf, expected = fitted
    for stored in (sp.csr_array, sp.csc_matrix, sp.coo_array):
        found = clf.predict_proba(Graph(ADJACENCY, stored(X)))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def shuffled_coo():
    coo = ADJACENCY.tocoo()
    order = np.random.RandomState(1).permutation(coo.nnz)
    half = np.concatenate([coo.data[order] / 2] * 2)
    rows, columns = (np.concatenate([x[order]] * 2) for x in (coo.row, coo.col))
    return sp.coo_array((half, (rows, columns)), shape=(N, N))


def wide_index():
    wide = ADJACENCY.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    return wide


def from_networkx():
    return Graph.from_networkx(nx.from_scipy_sparse_array(ADJACENCY, create_using=nx.DiGraph))


SAME = {
    "matrix": lambda: Graph(sp.csr_matrix(ADJACENCY), X),
    "csc": lambda: Graph(ADJACENCY.tocsc(), X),
    "lil": lambda: Graph(ADJACENCY.tolil(), X),
    "dense": lambda: Graph(ADJACENCY.toarray(), X),
    "int64 index": lambda: Graph(wide_index(), X),
    "shuffled halves": lambda: Graph(shuffled_coo(), X),
    "networkx": lambda: from_networkx().with_features(X),
    "named nodes": lambda: Graph(ADJACENCY, X, node_names=[f"node {i}" for i in range(N)]),
    "float32": lambda: Graph(ADJACENCY, X.astype(np.float32)),
    "column order": lambda: Graph(ADJACENCY, np.asfortranarray(X)),
    "data frame": lambda: Graph(ADJACENCY, pd.DataFrame(X)),
    "strides": lambda: Graph(ADJACENCY, np.repeat(X, 2, axis=1)[::-1, ::2][::-1]),
    "view of a view": lambda: Graph(ADJACENCY, X)[::-1][::-1],
}


@every_network
def test_the_form_of_the_graph_does_not_matter(clf):
    expected = refit(clf, Graph(ADJACENCY, X))
    for name, make in SAME.items():
        np.testing.assert_array_equal(refit(clf, make()), expected, err_msg=name)


@every_network
def test_renamed_labels_give_renamed_predictions(clf):
    graph = Graph(ADJACENCY, X)
    expected = refit(clf, graph)
    for names in (["a", "b", "c"], [10, 20, 30], [-2.0, 0.0, 7.0], [False, True]):
        y = np.array(names)[Y % len(names)]
        if len(names) == 2:
            expected = refit(clf, graph, Y % 2)
        other = clone(clf).fit(graph[KNOWN], y[KNOWN])
        np.testing.assert_array_equal(other.predict_proba(graph), expected)
        np.testing.assert_array_equal(other.predict(graph), np.array(names)[expected.argmax(1)])


@pytest.mark.parametrize("make", [gnn, ltd])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_sparse_features_are_learned_like_dense_ones(make, backbone):
    """Without dropout, which drops stored entries of sparse features only."""
    clf = make(backbone, dropout=0.0).set_params(learning_rate=1e-3)
    dense, sparse = refit(clf, Graph(ADJACENCY, X)), refit(clf, Graph(ADJACENCY, sp.csr_array(X)))
    np.testing.assert_allclose(sparse, dense, atol=1e-4)


@every_network
def test_the_order_in_which_nodes_are_selected_does_not_matter(clf):
    graph, role = Graph(ADJACENCY, X), np.array(["train", "stop", "temperature"])[np.arange(N) % 3]
    y = np.arange(N) // 3 % 3
    found = []
    for order in (KNOWN, KNOWN[::-1]):
        view = graph[order]
        found.append(clone(clf).fit(view, y[order], role=role[order]).predict_proba(graph))
    np.testing.assert_array_equal(*found)


def test_the_size_of_the_stored_type_of_weights_does_not_matter():
    whole = ADJACENCY.astype(bool)
    clf = gnn("gat")
    expected = refit(clf, Graph(whole.astype(float), X))
    for dtype in (bool, np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(refit(clf, Graph(whole.astype(dtype), X)), expected)
    dense = whole.toarray().astype(np.float16)
    np.testing.assert_array_equal(refit(clf, Graph(dense, X)), expected)
