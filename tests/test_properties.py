"""What holds for any graph and any labels, tried on random ones.

``HYPOTHESIS_PROFILE=soak`` tries thousands, and larger graphs, see `benchmarks/soak.py`.
"""

import os
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd._backbones import BACKBONES
from sklearn_ltd.model_selection import assign_roles

slow = list(HealthCheck)
settings.register_profile(
    "ci", max_examples=100, derandomize=True, deadline=None, suppress_health_check=slow
)
settings.register_profile(
    "soak",
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "3000")),
    deadline=None,
    suppress_health_check=slow,
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)
LARGEST = 2000 if PROFILE == "soak" else 60


def random_edges(shape, n, rng):
    """Rows, columns of a graph of some shape; some edges twice, some along the diagonal."""
    if shape == "star":
        return np.zeros(n - 1, int), np.arange(1, n)
    if shape == "clique":
        size = min(n, 30)
        return tuple(np.argwhere(~np.eye(size, dtype=bool)).T)
    if shape == "path":
        return np.arange(n - 1), np.arange(1, n)
    n_edges = {"none": 0, "sparse": n // 2, "dense": 4 * n}[shape]
    return rng.randint(n, size=n_edges), rng.randint(n, size=n_edges)


@st.composite
def adjacencies(draw, n):
    """An adjacency in some format, dtype, order; with duplicates and stored zeros."""
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(["none", "sparse", "dense", "star", "clique", "path"]))
    rows, columns = random_edges(shape, n, rng)
    if draw(st.booleans()):  # both ways, so that edges of both directions come twice
        rows, columns = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    order = rng.permutation(len(rows))
    index = draw(st.sampled_from([np.int32, np.int64]))
    rows, columns = rows[order].astype(index), columns[order].astype(index)
    dtype = draw(st.sampled_from([bool, np.uint8, np.int64, np.float32, np.float64]))
    values = rng.randint(0, draw(st.sampled_from([2, 10])), size=len(rows)).astype(dtype)
    coo = sp.coo_array((values, (rows, columns)), shape=(n, n))
    fmt = draw(st.sampled_from(["coo", "csr", "unsorted", "csc", "lil", "matrix", "dense"]))
    if fmt == "dense":
        return coo.toarray().astype(np.float16 if dtype == np.float32 else dtype)
    if fmt == "matrix":
        return sp.csr_matrix(coo)
    if fmt == "unsorted":
        by_row = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[by_row], np.arange(n + 1)).astype(index)
        return sp.csr_array((values[by_row], columns[by_row], starts), shape=(n, n))
    return coo.asformat(fmt)


@st.composite
def features(draw, n):
    """Features of some width, dense or sparse, constant, zero, huge; or none at all."""
    width = draw(st.sampled_from([1, 2, 7]))
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "zero", "constant", "binary", "large", "sparse", None]))
    if kind is None:
        return None
    X = {
        "zero": np.zeros((n, width)),
        "constant": np.full((n, width), 3),
        "large": 1e4 * rng.standard_normal((n, width)),
    }.get(kind, rng.standard_normal((n, width)))
    if kind in ("binary", "sparse"):
        X = (X > 0.5).astype(draw(st.sampled_from([np.int64, np.float32])))
    return sp.csr_array(X) if kind == "sparse" else X


@st.composite
def problems(draw, labels_per_class=1):
    """A graph, labels of 2 to 60 classes of very unequal sizes, some unknown (None)."""
    n_classes = draw(st.integers(2, 60 if PROFILE == "soak" else 12))
    least = max(4, labels_per_class * n_classes)
    n = draw(st.integers(least, max(least, draw(st.sampled_from([12, 40, LARGEST])))))
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    codes = rng.randint(draw(st.sampled_from([1, n_classes])), size=n)  # one class, or all
    sure = labels_per_class * n_classes
    codes[:sure] = np.arange(sure) % n_classes
    names = np.array([f"class {i:02}" for i in range(n_classes)], dtype=object)
    y = names[codes]
    y[sure:][rng.random_sample(n - sure) < draw(st.sampled_from([0, 0.5, 1]))] = None
    order = rng.permutation(n)
    return draw(adjacencies(n)), draw(features(n)), y[order], names.astype(str)


def parts(*inputs):
    """The arrays that the inputs are made of."""
    for item in inputs:
        if sp.issparse(item):
            names = ("data", "indices", "indptr", "row", "col", "rows")
            yield from (getattr(item, name) for name in names if hasattr(item, name))
        elif item is not None:
            yield item


def torch_state():
    return torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()


def check_fit(clf, adjacency, X, y, classes):
    """Fit, predict and check all that a user relies on."""
    before = [part.copy() for part in parts(adjacency, X, y)]
    state, rng, torch_rng = torch_state(), np.random.get_state(), torch.get_rng_state()
    graph = Graph(adjacency, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # large features diverge
        clf.fit(graph, y)
    proba = clf.predict_proba(graph)
    assert proba.shape == (graph.n_nodes, len(classes))
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(clf.classes_, classes)
    np.testing.assert_array_equal(clf.predict(graph), classes[proba.argmax(axis=1)])
    np.testing.assert_array_equal(clf.transduction_, clf.predict(graph))
    assert len(clf.transform(graph)) == graph.n_nodes
    for part, copy in zip(parts(adjacency, X, y), before):
        np.testing.assert_array_equal(part, copy)
    assert torch_state() == state
    assert torch.equal(torch.get_rng_state(), torch_rng)
    np.testing.assert_array_equal(np.random.get_state()[1], rng[1])
    return graph


SETTINGS = {"hidden_dim": 8, "random_state": 0, "device": "cpu"}
backbones = st.sampled_from(sorted(BACKBONES))


@given(problems(), backbones, st.integers(1, 3))
def test_any_graph_can_be_learned(problem, backbone, n_layers):
    check_fit(GNNNodeClassifier(backbone, n_layers=n_layers, max_iter=2, **SETTINGS), *problem)


@given(
    problems(labels_per_class=2),
    backbones,
    st.sampled_from([{}, {"scalable": True}, {"temperature": -0.5}, {"temperature_scale": 3.0}]),
    st.sampled_from([0, 1, 9]),
)
def test_any_graph_can_be_distilled(problem, backbone, params, warmup_iter):
    teacher = GNNNodeClassifier("sgc", max_iter=1, **SETTINGS)
    clf = LTDNodeClassifier(
        teacher, backbone, warmup_iter=warmup_iter, max_iter=3, **params, **SETTINGS
    )
    graph = check_fit(clf, *problem)
    assert clf.temperatures_.shape == (graph.n_nodes,)
    assert np.isfinite(clf.temperatures_).all()
    np.testing.assert_allclose(clf.teacher_proba_.sum(axis=1), 1, rtol=1e-5)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(adjacencies(n), features(n))))
def test_a_graph_holds_what_it_was_given(inputs):
    adjacency, X = inputs
    graph = Graph(adjacency, X)
    n = graph.n_nodes
    expected = np.zeros((n, n))
    entries = sp.coo_array(adjacency if sp.issparse(adjacency) else adjacency.astype(float))
    np.add.at(expected, (entries.row, entries.col), entries.data)
    np.testing.assert_array_equal(graph.adjacency.toarray(), expected)
    assert graph.adjacency.has_canonical_format
    assert (graph.adjacency.data > 0).all()
    assert np.isfinite(graph.features.data if sp.issparse(X) else graph.features).all()
    assert graph.features.shape == graph.shape
    selected = graph[::2]
    part = selected.induced()
    np.testing.assert_array_equal(part.adjacency.toarray(), expected[::2, ::2])


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 99),
)
def test_roles_are_drawn_exactly_or_refused(y, n_train, n_temperature, n_stop, seed):
    counts = {"train": n_train, "temperature": n_temperature, "stop": n_stop}
    sizes = np.bincount(y)
    if sizes[sizes > 0].min() < sum(counts.values()):
        with pytest.raises(ValueError, match="Ask for fewer per class"):
            assign_roles(y, *counts.values(), random_state=seed)
        return
    role = assign_roles(y, *counts.values(), random_state=seed)
    for name, count in counts.items():
        np.testing.assert_array_equal(
            np.bincount(np.array(y)[role == name], minlength=len(sizes)), count * (sizes > 0)
        )
