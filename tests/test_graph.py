"""`Graph`: selecting nodes, checking input, keeping memory and pickles small."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import StratifiedKFold, train_test_split

from sklearn_ltd import GNNNodeClassifier, Graph
from sklearn_ltd._base import graph_tensors
from sklearn_ltd.datasets import make_attributed_sbm

N = 6
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def ring(n=N):
    """A ring with different weights in both directions."""
    dense = np.zeros((n, n))
    for i in range(n):
        dense[i, (i + 1) % n] = i + 1
        dense[(i + 1) % n, i] = 0.5
    return dense


def ring_graph(**kwargs):
    return Graph(ring(), np.arange(2.0 * N).reshape(N, 2), node_names=list("abcdef"), **kwargs)


def coo(values, rows, columns, n=2):
    return sp.coo_array((np.asarray(values), (rows, columns)), shape=(n, n))


# Selecting nodes


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([4, 1]), [4, 1]),
        ([4, 1], [4, 1]),
        ([-1], [5]),
        ([], []),
        (np.array([2, 2]), [2, 2]),
        (np.array([1, 3], dtype=np.int32), [1, 3]),
        (np.array([1, 3], dtype=np.uint8), [1, 3]),
        (np.arange(N) % 2 == 0, [0, 2, 4]),
        (np.zeros(N, dtype=bool), []),
        (pd.Series(np.arange(N) < 2), [0, 1]),
        (slice(1, None, 2), [1, 3, 5]),
        (Ellipsis, [0, 1, 2, 3, 4, 5]),
        (3, [3]),
        (([4, 1], Ellipsis), [4, 1]),
        ((slice(4, None), Ellipsis), [4, 5]),
    ],
)
def test_index_selects_nodes_of_the_same_whole_graph(index, expected):
    graph = ring_graph()
    view = graph[index]
    assert_array_equal(view.nodes, expected)
    assert_array_equal(view.node_names, np.array(list("abcdef"))[expected])
    assert len(view) == len(expected)
    assert view.shape == (len(expected), 2)
    assert view.n_nodes == N
    assert view.adjacency is graph.adjacency
    assert view.X is graph.X
    assert_array_equal(graph.nodes, np.arange(N))


def test_view_of_a_view_counts_inside_the_view():
    view = ring_graph()[[5, 3, 1, 0]][[True, False, True, True]][1:]
    assert_array_equal(view.nodes, [1, 0])


def test_whole_selects_all_nodes_again():
    graph = ring_graph()
    whole = graph[[3, 0]].whole
    assert_array_equal(whole.nodes, np.arange(N))
    assert whole.adjacency is graph.adjacency


def test_names_are_positions_where_none_are_given():
    graph = Graph(ring())
    assert not graph.has_node_names
    assert_array_equal(graph[[4, 2]].node_names, [4, 2])


def test_names_may_be_any_hashables():
    names = [(1, 2), "a", frozenset([3]), 4, 2.5, None]
    graph = Graph(ring(), node_names=names)
    assert graph.has_node_names
    assert graph.node_names.tolist() == names
    assert graph[[2, 0]].node_names.tolist() == [frozenset([3]), (1, 2)]


def test_tuple_names_of_one_length_stay_tuples():
    names = [(i, i + 1) for i in range(N)]
    assert Graph(ring(), node_names=names).node_names.tolist() == names


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([0.5], IndexError, "integer positions, a boolean mask or a slice.*float64"),
        (np.zeros((1, 2), dtype=int), IndexError, r"shape \(1, 2\)"),
        ("a", IndexError, "integer positions"),
        (None, IndexError, "integer positions"),
        ([True, False], IndexError, "boolean"),
        ([N], IndexError, f"index {N} is out of bounds"),
        ((slice(None), 0), TypeError, r"one axis, its nodes.*NodeFeatures\(transformer\)"),
        ((0, 1, 2), TypeError, "one axis"),
        ((0, Ellipsis, 1), TypeError, "one axis"),
    ],
)
def test_wrong_index_is_refused(index, error, message):
    with pytest.raises(error, match=message):
        ring_graph()[index]


def test_scikit_learn_splits_a_graph():
    graph, y = ring_graph(), np.array([0, 1] * 3)
    train, test, y_train, _ = train_test_split(graph, y, test_size=2, stratify=y, random_state=0)
    assert sorted([*train.nodes, *test.nodes]) == list(range(N))
    assert_array_equal(y_train, y[train.nodes])
    folds = [test for _, test in StratifiedKFold(3).split(graph, y)]
    assert_array_equal(np.sort(np.concatenate(folds)), np.arange(N))


# Other graphs from a graph


def test_induced_keeps_only_the_selected_nodes():
    part = ring_graph()[[2, 1, 5]].induced()
    assert isinstance(part, Graph)
    assert part.n_nodes == len(part) == 3
    assert_array_equal(part.adjacency.toarray(), ring()[np.ix_([2, 1, 5], [2, 1, 5])])
    assert_array_equal(part.X, [[4, 5], [2, 3], [10, 11]])
    assert part.node_names.tolist() == ["c", "b", "f"]


def test_induced_keeps_feature_names_and_the_lack_of_features():
    frame = pd.DataFrame(np.ones((N, 2)), columns=["age", "size"])
    assert Graph(ring(), frame)[:2].induced().feature_names.tolist() == ["age", "size"]
    without = Graph(ring())[:2].induced()
    assert without.X is None
    assert not without.has_node_names


def test_induced_of_no_nodes_is_an_error():
    with pytest.raises(ValueError, match="the graph is empty"):
        ring_graph()[[]].induced()


def test_with_features_keeps_edges_selection_and_names():
    view = ring_graph()[[3, 0]]
    other = view.with_features(np.ones((N, 5)))
    assert other.shape == (2, 5)
    assert other.adjacency is view.adjacency
    assert_array_equal(other.nodes, [3, 0])
    assert other.node_names.tolist() == ["d", "a"]
    assert view.shape == (2, 2)
    assert other.feature_names is None
    named = view.with_features(np.ones((N, 2)), feature_names=["p", "q"])
    assert list(named.feature_names) == ["p", "q"]


def test_with_features_needs_a_row_for_every_node():
    with pytest.raises(ValueError, match="X has 2 rows, but the adjacency has 6 nodes"):
        ring_graph()[[3, 0]].with_features(np.ones((2, 5)))


# What a graph is not


def test_array_conversion_tells_what_to_do():
    with pytest.raises(TypeError, match=r"lose the edges.*graph\.X\[graph\.nodes\].*NodeFeatures"):
        np.asarray(ring_graph())


def test_a_graph_is_not_iterable():
    with pytest.raises(TypeError, match="not iterable"):
        iter(ring_graph())


def test_repr_counts_nodes_edges_and_selection():
    assert repr(ring_graph()) == "Graph(n_nodes=6, n_edges=12, n_features=2)"
    assert repr(Graph(ring())[[0]]) == "Graph(n_nodes=6, n_edges=12, no features, n_selected=1)"
    assert "n_selected=6" in repr(ring_graph()[::-1])


# Pickles


def test_views_share_one_whole_graph_in_a_pickle():
    graph = Graph(sp.random_array((300, 300), density=0.1, random_state=0), np.ones((300, 20)))
    alone = len(pickle.dumps(graph))
    folds = [graph[i::5] for i in range(5)]
    pickled = pickle.dumps(folds)
    assert len(pickled) < 1.2 * alone
    first, *_, last = pickle.loads(pickled)
    assert first.adjacency is last.adjacency
    assert_array_equal(last.nodes, folds[-1].nodes)


def test_a_pickle_keeps_everything_but_caches():
    graph = Graph(ring(), node_names=list("abcdef"))[[4, 2]]
    before = pickle.dumps(graph)
    features = graph.features
    after = pickle.dumps(graph)
    assert len(after) == len(before)
    copy = pickle.loads(after)
    assert_array_equal(copy.nodes, [4, 2])
    assert copy.node_names.tolist() == ["e", "c"]
    assert_array_equal(copy.adjacency.toarray(), ring())
    assert_array_equal(copy.features, features)


# Adjacency


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_sparse_format_becomes_csr(fmt, kind):
    given = getattr(sp, f"{fmt}_{kind}")(ring())
    adjacency = Graph(given).adjacency
    assert isinstance(adjacency, sp.csr_array)
    assert_array_equal(adjacency.toarray(), ring())


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_both_index_widths_are_taken(index_dtype):
    given = sp.csr_array(ring())
    given.indices, given.indptr = (
        given.indices.astype(index_dtype),
        given.indptr.astype(index_dtype),
    )
    graph = Graph(given, given)
    assert graph.adjacency.indices.dtype == graph.adjacency.indptr.dtype == np.int32
    assert given.indices.dtype == index_dtype
    assert_array_equal(graph.adjacency.toarray(), ring())
    assert_array_equal(graph.X.toarray(), ring())


@pytest.mark.parametrize(
    "view", [lambda X: X.T, lambda X: X[:, :1][:, ::-1], lambda X: X[:, ::2]], ids=range(3)
)
def test_features_lie_row_by_row(view):
    given = view(ring().astype(np.float32))
    X = Graph(ring(), given).X
    assert X.flags.c_contiguous
    assert min(X.strides) > 0
    assert_array_equal(X, given)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, np.float32, np.float64])
def test_dense_weights_of_any_real_dtype_become_floats(dtype):
    given = (ring() > 0.6).astype(dtype)
    adjacency = Graph(given).adjacency
    assert adjacency.dtype in (np.float32, np.float64)
    assert_array_equal(adjacency.toarray(), given.astype(float))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_sparse_weights_of_any_real_dtype_become_floats(dtype):
    given = sp.csr_array((ring() > 0.6).astype(dtype))
    adjacency = Graph(given).adjacency
    assert adjacency.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert_array_equal(adjacency.toarray(), given.toarray().astype(float))


def test_a_nested_list_is_a_dense_adjacency():
    assert_array_equal(Graph([[0, 1], [2, 0]]).adjacency.toarray(), [[0, 1], [2, 0]])


@pytest.mark.parametrize("fmt", ["coo", "csr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8, np.uint8, bool])
def test_duplicates_are_added_up(fmt, dtype):
    n_edges = 300
    rows, columns = np.zeros(n_edges, dtype=int), np.ones(n_edges, dtype=int)
    data = np.ones(n_edges, dtype=dtype)
    if fmt == "coo":
        given = sp.coo_array((data, (rows, columns)), shape=(2, 2))
    else:
        given = sp.csr_array((data, columns, [0, n_edges, n_edges]), shape=(2, 2))
    assert_array_equal(Graph(given).adjacency.toarray(), [[0, n_edges], [0, 0]])


def test_explicit_zeros_are_no_edges():
    graph = Graph(coo([0.0, 2.0], [0, 1], [1, 0]))
    assert graph.adjacency.nnz == 1
    assert_array_equal(graph.adjacency.toarray(), [[0, 0], [2, 0]])


def test_unsorted_indices_are_sorted():
    given = sp.csr_array(([3.0, 1.0, 2.0], [2, 0, 1], [0, 3, 3, 3]), shape=(3, 3))
    adjacency = Graph(given).adjacency
    assert_array_equal(adjacency.indices, [0, 1, 2])
    assert_array_equal(adjacency.data, [1, 2, 3])


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(([1.0, 1.0, 2.0], [1, 1, 0], [0, 2, 3]), id="duplicates"),
        pytest.param(([0.0, 1.0, 2.0], [0, 1, 0], [0, 2, 3]), id="zeros"),
        pytest.param(([3.0, 1.0, 2.0], [1, 0, 0], [0, 2, 3]), id="unsorted"),
        pytest.param(([3.0, 1.0, 2.0], [0, 1, 0], [0, 2, 3]), id="canonical"),
    ],
)
def test_input_arrays_are_left_alone_and_may_be_read_only(pieces):
    given = sp.csr_array(tuple(map(np.array, pieces)), shape=(2, 2))
    arrays = given.data, given.indices, given.indptr
    for array in arrays:
        array.flags.writeable = False
    copies = [array.copy() for array in arrays]
    graph = Graph(given, given)
    assert graph.features is not None
    for part in (graph, graph[[0]].induced()):
        assert part.adjacency.shape[0] == part.n_nodes
    for now, array, copy in zip((given.data, given.indices, given.indptr), arrays, copies):
        assert now is array
        assert_array_equal(now, copy)


def test_a_canonical_csr_adjacency_is_not_copied():
    given = sp.csr_array(ring())
    assert np.shares_memory(Graph(given).adjacency.data, given.data)


def test_large_sparse_input_is_never_made_dense():
    n = 200_000
    rows = np.arange(n)
    adjacency = sp.coo_array((np.ones(n), (rows, (rows + 1) % n)), shape=(n, n))
    X = sp.coo_array((np.ones(n), (rows, rows)), shape=(n, n))
    view = Graph(adjacency, X)[:10]
    part = view.induced()
    assert view.adjacency.nnz == n
    assert isinstance(view.X, sp.csr_array)
    assert isinstance(part.X, sp.csr_array)
    assert part.X.shape == (10, n)


@pytest.mark.parametrize(
    ("adjacency", "error", "message"),
    [
        (
            np.zeros((2, 3)),
            ValueError,
            r"must be square, .* got \(2, 3\)\. Pass Graph",
        ),
        (sp.csr_array((3, 2)), ValueError, r"must be square, .* got \(3, 2\)\..*Edges in pairs"),
        (np.zeros((0, 0)), ValueError, "the graph is empty.*expected at least 1 node"),
        (np.zeros(3), TypeError, r"2-D array, got ndarray\. Convert other graphs by as_graph"),
        (np.zeros((2, 2, 2)), TypeError, "2-D array, got ndarray"),
        ("ab", TypeError, "got str"),
        (None, TypeError, "got NoneType"),
        (Graph([[0]]), TypeError, "got Graph"),
        (np.eye(2) * 1j, TypeError, "must be real numbers, got dtype complex128"),
        (sp.eye_array(2) * 1j, TypeError, "must be real numbers, got dtype complex128"),
        (np.array([["a", "b"]] * 2), TypeError, "must be real numbers, got dtype <U1"),
        (np.eye(2, dtype=object), TypeError, "must be real numbers, got dtype object"),
        (coo([np.nan], [0], [1]), ValueError, "must be finite, got NaN or infinity"),
        ([[0, np.inf], [0, 0]], ValueError, "must be finite"),
        ([[0, -1], [0, 0]], ValueError, r"must be >= 0, got -1.*pass abs\(adjacency\)"),
    ],
)
def test_wrong_adjacency_is_refused(adjacency, error, message):
    with pytest.raises(error, match=message):
        Graph(adjacency)


# Features and names


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_sparse_features_stay_sparse(fmt, kind):
    dense = np.arange(2.0 * N).reshape(N, 2)
    X = Graph(ring(), getattr(sp, f"{fmt}_{kind}")(dense)).X
    assert isinstance(X, sp.csr_array)
    assert_array_equal(X.toarray(), dense)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float32),
        (np.int64, np.float32),
        (bool, np.float32),
    ],
)
def test_features_become_floats(dtype, kept):
    given = np.eye(N, dtype=dtype)
    graph = Graph(ring(), given)
    assert graph.X.dtype == kept
    assert_array_equal(graph.X, np.eye(N))
    assert graph.features is graph.X


def test_data_frame_columns_are_feature_names():
    frame = pd.DataFrame({"age": np.arange(N), "size": 1.5}, index=list("uvwxyz"))
    with pytest.warns(UserWarning, match="is not read.*Pass node_names= with the same") as caught:
        graph = Graph(ring(), frame)
    assert caught[0].filename == __file__
    assert graph.feature_names.tolist() == ["age", "size"]
    assert graph[[0]].feature_names.tolist() == ["age", "size"]
    assert_array_equal(graph.X[:, 0], np.arange(N))


def test_feature_names_need_all_columns_to_be_strings():
    assert Graph(ring(), pd.DataFrame(np.ones((N, 2)))).feature_names is None
    assert Graph(ring(), np.ones((N, 2))).feature_names is None


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((N - 1, 2)), "X has 5 rows, but the adjacency has 6 nodes.*one row of features"),
        (sp.csr_array((N + 1, 2)), "X has 7 rows, but the adjacency has 6 nodes"),
        (np.full((N, 1), np.nan), "Input X contains NaN"),
        (sp.csr_array(np.full((N, 1), np.inf)), "Input X contains infinity"),
        (np.ones(N), "Expected 2D array, got 1D array"),
        (np.ones((N, 0)), r"0 feature\(s\)"),
        (np.array([["a"]] * N), "could not convert string to float"),
        (np.ones((N, 1)) * 1j, "Complex data not supported"),
    ],
)
def test_wrong_features_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        Graph(ring(), X)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "node_names has 1 entries, but the graph has 6 nodes"),
        (list("abcdea"), "node_names must be unique"),
    ],
)
def test_wrong_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        Graph(ring(), node_names=names)


# Structural features of graphs without features


def two_parts(n_isolated=0):
    """Two cliques of five nodes, and isolated nodes."""
    n = 10 + n_isolated
    dense = np.zeros((n, n))
    dense[:5, :5] = dense[5:10, 5:10] = 1
    np.fill_diagonal(dense, 0)
    return dense


@pytest.mark.parametrize(
    "adjacency",
    [
        pytest.param(two_parts(), id="cliques"),
        pytest.param(two_parts(n_isolated=3), id="isolated nodes"),
        pytest.param(np.triu(two_parts()), id="directed"),
        pytest.param(np.zeros((4, 4)), id="no edges"),
        pytest.param(np.zeros((1, 1)), id="one node"),
        pytest.param(two_parts() * 1e6, id="large weights"),
        pytest.param(np.roll(np.eye(80), 1, axis=1), id="more nodes than features"),
    ],
)
def test_structural_features_are_finite_and_repeatable(adjacency):
    graph, again = Graph(adjacency), Graph(sp.csr_array(adjacency))
    assert graph.X is None
    assert np.isfinite(graph.features).all()
    assert graph.features.shape == graph.shape
    assert_array_equal(graph.features, again.features)
    assert graph[:1].shape == (1, graph.features.shape[1])
    assert graph[:1].features is graph.features


def test_structural_features_tell_communities_and_degrees():
    features = Graph(two_parts(n_isolated=2)).features
    scale = np.abs(features).max()
    assert_allclose(features[0], features[4], atol=0.2 * scale)
    assert np.linalg.norm(features[0] - features[5]) > 0.5 * scale
    assert features[0, -1] > features[-1, -1]


@pytest.mark.parametrize("small", [np.eye(1), np.ones((2, 2)), np.ones((5, 5))], ids=len)
def test_many_small_components_leave_directions_for_the_large_one(small):
    data = make_attributed_sbm(n_nodes=200, n_classes=2, average_degree=10, random_state=0)
    blocks = sp.block_diag([*[small] * 60, data.graph.adjacency, *[small] * 60], format="csr")
    graph = Graph(blocks)
    nodes = np.arange(200) + 60 * len(small)
    alone = Graph(data.graph.adjacency)
    scores = []
    for part in (graph[nodes], alone):
        clf = GNNNodeClassifier(random_state=0).fit(part[:100], data.y[:100])
        scores.append(clf.score(part[100:], data.y[100:]))
    assert scores[0] > scores[1] - 0.05
    assert scores[1] > 0.8


@pytest.mark.parametrize("n_cliques", [33, 100])
def test_components_without_directions_of_their_own_are_told_apart(n_cliques):
    y = np.repeat(np.random.RandomState(0).randint(0, 3, n_cliques), 10)
    graph = Graph(sp.block_diag([np.ones((10, 10))] * n_cliques, format="csr"))
    known = np.arange(len(y)) % 2 == 0
    clf = GNNNodeClassifier(random_state=0).fit(graph[known], y[known])
    assert clf.score(graph[~known], y[~known]) > 0.98


def test_structural_features_do_not_touch_the_global_seed():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    assert Graph(two_parts()).features.shape[0] == 10
    assert np.random.rand() == expected


@pytest.mark.parametrize("size", [5, 16, 40])
def test_a_bootstrap_sample_is_no_mask(size):
    for seed in range(200):
        view = Graph(ring(size))[np.random.RandomState(seed).randint(0, size, size)]
        assert len(view) == size


def test_one_node_many_times_is_no_mask():
    assert Graph(ring(20))[np.zeros(20, int)].nodes.tolist() == [0] * 20


def test_nodes_by_name():
    view = ring_graph()[1:]
    positions = view.positions(["e", "b"])
    assert view[positions].node_names.tolist() == ["e", "b"]
    with pytest.raises(TypeError, match=r"list of node names, got 'ab'\. Pass \['ab'\]"):
        view.positions("ab")
    with pytest.raises(KeyError, match=r"1 of 2 names are no selected nodes, e\.g\. 'a'"):
        view.positions(["b", "a"])


def test_names_of_features_have_to_fit(graph):
    with pytest.raises(ValueError, match=r"each of the 2 features, got shape \(1,\)"):
        graph.with_features(np.ones((graph.n_nodes, 2)), ["a"])


def test_the_number_of_edges(graph):
    assert graph[:3].n_edges == graph.adjacency.nnz


def test_the_rows_of_a_frame_indexed_by_node_name_follow_the_nodes():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=["x", "y", "z"])
    graph = Graph(np.eye(3), frame.loc[["z", "x", "y"]], node_names=["x", "y", "z"])
    np.testing.assert_array_equal(graph.X[:, 0], [1, 2, 3])
    positional = Graph(np.eye(3), frame.reset_index(drop=True), node_names=["x", "y", "z"])
    np.testing.assert_array_equal(positional.X[:, 0], [1, 2, 3])


def test_graphs_that_differ_in_their_features_share_the_tensors_of_their_edges(graph):
    tensors = graph_tensors(graph, "cpu")
    other = graph_tensors(graph.with_features(2 * graph.X), "cpu")
    assert other.edges is tensors.edges
    assert torch.equal(other.x, 2 * tensors.x)


def test_a_mask_with_names_selects_those_nodes():
    graph = ring_graph()
    mask = pd.Series([True, False, True], index=["e", "d", "b"])
    assert_array_equal(graph[mask].node_names, ["b", "e"])
    assert_array_equal(graph[1:][mask].node_names, ["b", "e"])
    with pytest.raises(ValueError, match=r"index of mask, \['x'.*holds no names of nodes"):
        graph[pd.Series([True] * N, index=list("xyzuvw"))]


def test_the_index_of_an_adjacency_names_the_nodes():
    graph = ring_graph()
    names = list("abcdef")
    table = pd.DataFrame(graph.adjacency.toarray(), index=names, columns=names)
    assert_array_equal(Graph(table).node_names, names)
    moved = Graph(table.loc[names[::-1], names[::-1]])
    assert_array_equal(moved.node_names, names[::-1])
    assert not Graph(pd.DataFrame(table.to_numpy())).has_node_names
    by_columns = pd.DataFrame(graph.adjacency.toarray(), columns=names)
    assert_array_equal(Graph(by_columns).node_names, names)
    read = table.set_axis(range(5, 11), axis=0).set_axis(map(str, range(5, 11)), axis=1)
    assert_array_equal(Graph(read).node_names, range(5, 11))
    with pytest.raises(ValueError, match=r"index and the columns of the adjacency.*loc\[names"):
        Graph(table.loc[names[::-1]])


def test_other_features_follow_the_names_too():
    graph = ring_graph()
    table = pd.DataFrame(graph.X, index=list("abcdef"), columns=["p", "q"])
    other = graph[2:].with_features(table.sample(frac=1, random_state=0))
    assert_array_equal(other.X, graph.X)
    assert_array_equal(other.feature_names, ["p", "q"])
    assert_array_equal(other.nodes, graph[2:].nodes)


def test_repeated_entries_of_sparse_features_add_up():
    adjacency = ring_graph().adjacency
    pieces = np.ones(2 * N), np.repeat(np.arange(N), 2), np.arange(0, 2 * N + 1, 2)
    X = sp.csr_array(pieces, shape=(N, N))
    assert_array_equal(Graph(adjacency, X).X.data, np.full(N, 2.0))
    assert X.nnz == 2 * N
    small = sp.coo_array(([True, True], ([0, 0], [1, 1])), shape=(N, 2))
    assert Graph(adjacency, small).X.data.tolist() == [2.0]


def test_a_series_is_no_feature_matrix():
    with pytest.raises(ValueError, match="2"):
        Graph(ring_graph().adjacency, pd.Series(range(N)))


def test_dates_are_no_features():
    table = pd.DataFrame({"since": pd.to_datetime(["2020"] * N), "n": range(N)})
    with pytest.raises(ValueError, match=r"columns \['since'\] of X hold no numbers \(dates"):
        Graph(ring_graph().adjacency, table)


def test_a_graph_without_features_is_recognised_whatever_it_is_stored_in(tiny):
    adjacency = tiny.graph.adjacency
    clf = GNNNodeClassifier(max_iter=2, random_state=0).fit(Graph(adjacency), tiny.y)
    other = adjacency.astype(float)
    other.indices, other.indptr = other.indices.astype(np.int64), other.indptr.astype(np.int64)
    assert_array_equal(clf.predict(Graph(other)), clf.predict(Graph(adjacency)))
