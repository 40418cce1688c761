"""Graphs in folders: the round trip, interrupted saves, damaged and foreign folders."""

import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sklearn_ltd import GNNNodeClassifier, Graph
from sklearn_ltd.datasets import make_attributed_sbm

N = 30


def make_graph(directed=False, features="dense", names=None):
    rng = np.random.RandomState(0)
    adjacency = sp.random_array(
        (N, N), density=0.2, random_state=rng, format="csr", dtype=np.float32
    )
    if not directed:
        adjacency = sp.csr_array(adjacency + adjacency.T)
    X = (rng.standard_normal((N, 4)) * (rng.random_sample((N, 4)) < 0.5)).astype(np.float32)
    X = {"dense": X, "csr": sp.csr_array(X), None: None}[features]
    return Graph(adjacency, X, node_names=names)


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def piece(folder, name):
    (found,) = folder.glob(f"pieces-*/{name}.npy")
    return found


def change(folder, name, function):
    """Rewrite a piece as ``function(array)``."""
    path = piece(folder, name)
    np.save(path, function(np.load(path)))


def change_header(folder, **entries):
    path = folder / "graph.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("features", ["dense", "csr", None])
def test_round_trip(tmp_path, mmap, directed, features):
    graph = make_graph(directed, features, [f"node {i}" for i in range(N)])
    graph.save(tmp_path / "new" / "folder")
    opened = Graph.open(tmp_path / "new" / "folder", mmap=mmap)
    assert repr(opened) == repr(graph)
    assert opened.shape == graph.shape
    assert_array_equal(opened.node_names, graph.node_names)
    assert_array_equal(opened.adjacency.toarray(), graph.adjacency.toarray())
    assert_array_equal(dense(opened.features), dense(graph.features))
    assert sp.issparse(opened.X) == (features == "csr")
    incoming = opened._whole.incoming_rows[np.arange(N)]
    assert_array_equal(incoming.toarray(), graph.adjacency.T.toarray())


def test_an_opened_graph_trains_like_the_one_in_memory(tmp_path):
    data = make_attributed_sbm(n_nodes=200, random_state=0)
    data.graph.save(tmp_path)
    clf = GNNNodeClassifier(max_iter=5, random_state=0)
    scores = [
        clf.fit(graph[:80], data.y[:80]).decision_function(graph[80:])
        for graph in (data.graph, Graph.open(tmp_path))
    ]
    assert_array_equal(*scores)


def test_feature_names_are_kept(tmp_path):
    pd = pytest.importorskip("pandas")
    graph = make_graph()
    Graph(graph.adjacency, pd.DataFrame(graph.X, columns=list("abcd"))).save(tmp_path)
    assert list(Graph.open(tmp_path).feature_names) == list("abcd")


def test_a_pickle_of_an_opened_graph_holds_the_path_only(tmp_path):
    make_attributed_sbm(n_nodes=1000, random_state=0).graph.save(tmp_path)
    opened = Graph.open(tmp_path)
    content = pickle.dumps(opened[:10])
    assert len(content) < 1000
    copy = pickle.loads(content)
    assert copy.shape == (10, 64)
    assert_array_equal(copy.X, opened.X)
    assert isinstance(copy.X, np.memmap)


def test_saving_anew_replaces_the_pieces_and_old_pickles_say_so(tmp_path):
    make_graph().save(tmp_path)
    opened = Graph.open(tmp_path)
    content = pickle.dumps(opened)
    make_graph(directed=True).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match="saved anew"):
        pickle.loads(content)
    with pytest.raises(ValueError, match="saved anew"):  # before it gets to a worker
        pickle.dumps(opened)


def test_an_interrupted_save_leaves_the_old_graph(tmp_path, monkeypatch):
    graph = make_graph()
    graph.save(tmp_path)
    save, calls = np.save, []

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        make_graph(directed=True, features=None).save(tmp_path)
    assert_array_equal(Graph.open(tmp_path).adjacency.toarray(), graph.adjacency.toarray())
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"thesis\.tex.*new or empty"):
        make_graph().save(tmp_path)


def test_names_of_other_types_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="strings or all are integers"):
        make_graph(names=[(i, "x") for i in range(N)]).save(tmp_path)


def test_a_folder_without_a_graph(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"graph\.save\(folder\)"):
        Graph.open(tmp_path)


def nest(folder, name):
    np.save(piece(folder, name), np.array([{}]), allow_pickle=True)


DAMAGES = {
    "no json": lambda f: (f / "graph.json").write_text("{"),
    "foreign json": lambda f: (f / "graph.json").write_text('{"type": "FeatureCollection"}'),
    "list as json": lambda f: (f / "graph.json").write_text("[1]"),
    "later version": lambda f: change_header(f, version=2),
    "number of nodes": lambda f: change_header(f, n_nodes=N + 1),
    "negative number": lambda f: change_header(f, n_nodes=-1),
    "number of features": lambda f: change_header(f, n_features=5),
    "no features": lambda f: change_header(f, n_features=None),
    "path outside": lambda f: change_header(f, pieces="pieces-/../.."),
    "unknown piece": lambda f: change_header(f, arrays=["../x"]),
    "pieces no list": lambda f: change_header(f, arrays=7),
    "fewer pieces": lambda f: change_header(f, arrays=["X", "degree"]),
    "piece is gone": lambda f: piece(f, "adjacency_data").unlink(),
    "truncated": lambda f: piece(f, "X").write_bytes(piece(f, "X").read_bytes()[:-8]),
    "empty": lambda f: piece(f, "X").write_bytes(b""),
    "no npy": lambda f: piece(f, "X").write_bytes(b"PK" * 500),
    "pickled objects": lambda f: nest(f, "X"),
    "dtype": lambda f: change(f, "adjacency_data", lambda a: a.astype(complex)),
    "length": lambda f: change(f, "adjacency_data", lambda a: a[:-1]),
    "shape": lambda f: change(f, "X", lambda a: a.T),
}


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folders_are_refused_at_once(tmp_path, damage, mmap):
    make_graph().save(tmp_path)
    DAMAGES[damage](tmp_path)
    with pytest.raises(ValueError, match="graph"):
        Graph.open(tmp_path, mmap=mmap)


def spoil(index, value):
    def change_array(array):
        array[index] = value
        return array

    return change_array


CONTENTS = {
    "source too large": ("adjacency_indices", spoil(slice(3, 9), 10**6)),
    "negative source": ("adjacency_indices", spoil(slice(3, 9), -5)),
    "extent too large": ("adjacency_indptr", spoil(slice(2, 5), 10**6)),
    "negative extent": ("adjacency_indptr", spoil(slice(2, 5), -7)),
    "decreasing extents": ("adjacency_indptr", lambda a: np.concatenate([a[:1], a[:0:-1]])),
    "NaN weight": ("adjacency_data", spoil(slice(None), np.nan)),
    "negative weight": ("adjacency_data", spoil(slice(None), -1.0)),
    "column too large": ("X_indices", spoil(slice(None), 4)),
    "feature extent": ("X_indptr", spoil(slice(1, 5), 10**6)),
    "NaN feature": ("X_data", spoil(slice(None), np.nan)),
    "feature beyond float32": ("X_data", lambda a: np.full(len(a), 1e200)),
}


@pytest.mark.parametrize(("value", "named"), [(np.nan, "[Nn]a[Nn]"), (1e200, "float32")])
@pytest.mark.parametrize("batch_size", [4, None])
def test_dense_features_are_checked_where_they_are_used(tmp_path, batch_size, value, named):
    make_graph().save(tmp_path)
    change(tmp_path, "X", lambda X: spoil((slice(None), 1), value)(X.astype(np.float64)))
    clf = GNNNodeClassifier(batch_size=batch_size, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match=rf"{named}.*in row \d+, column 1"):
        clf.fit(Graph.open(tmp_path), np.arange(N) % 2)


@pytest.mark.parametrize("batch_size", [4, None])
@pytest.mark.parametrize("content", CONTENTS)
def test_damaged_contents_are_found_before_they_are_used(tmp_path, content, batch_size):
    make_graph(features="csr").save(tmp_path)
    change(tmp_path, *CONTENTS[content])
    clf = GNNNodeClassifier(batch_size=batch_size, max_iter=2, random_state=0)
    with pytest.raises((ValueError, FloatingPointError)):
        clf.fit(Graph.open(tmp_path), np.arange(N) % 2)
