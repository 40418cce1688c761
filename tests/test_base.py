"""What every node classifier does: labels and roles going in, predictions coming out."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier, NodeFeatures, _base
from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import make_backbone
from sklearn_ltd._distill import TemperatureNetwork
from sklearn_ltd._train import _criterion
from sklearn_ltd.datasets import make_attributed_sbm
from sklearn_ltd.model_selection import assign_roles

pytestmark = pytest.mark.usefixtures("global_rng_untouched")

BACKBONES = ("gcn", "gat", "sage", "appnp", "sgc", "mlp")
SMALL = {"hidden_dim": 8, "max_iter": 4, "learning_rate": 0.03, "device": "cpu", "random_state": 0}
NAMES = np.array(["ant", "bee", "cat"])


def gnn(**params):
    return GNNNodeClassifier(**SMALL | params)


def ltd(**params):
    shared = {name: params[name] for name in ("backbone", "dropout", "device") if name in params}
    teacher = GNNNodeClassifier(**SMALL | {"max_iter": 2, "random_state": None} | shared)
    return LTDNodeClassifier(**{"teacher": teacher, "warmup_iter": 2} | SMALL | params)


both = pytest.mark.parametrize("make", [gnn, ltd], ids=["gnn", "ltd"])


@pytest.fixture
def named(tiny):
    names = [f"node {i}" for i in range(80)]
    return Graph(tiny.graph.adjacency, tiny.graph.X, node_names=names)


@pytest.fixture
def role(tiny):
    return assign_roles(tiny.y, n_train=4, n_temperature=4, n_stop=3, random_state=0)


@pytest.fixture
def known():
    """A mask of half the nodes."""
    return np.random.RandomState(1).permutation(80) < 40


def assert_same_fit(one, other, graph):
    """Bit for bit."""
    assert one.classes_.tolist() == other.classes_.tolist()
    assert one.history_ == other.history_
    assert np.array_equal(one.predict_proba(graph), other.predict_proba(graph))
    assert (one.transduction_ == other.transduction_).all()


# Labels


@both
@pytest.mark.parametrize(
    ("encode", "kind"),
    [
        (lambda y: y + 5, "i"),
        (lambda y: y.astype(np.uint8), "u"),
        (lambda y: y * 1.0, "f"),
        (lambda y: NAMES[y], "U"),
        (lambda y: NAMES[y].astype(object), "U"),
        (lambda y: NAMES[y].tolist(), "U"),
        (lambda y: y.tolist(), "i"),
        (lambda y: pd.Series(NAMES[y], index=range(80, 0, -1)), "U"),
        (lambda y: pd.Series(NAMES[y]).astype("category"), "U"),
    ],
    ids=[
        "ints",
        "bytes",
        "floats",
        "strings",
        "objects",
        "list of strings",
        "list of ints",
        "Series",
        "categories",
    ],
)
def test_labels_come_back_as_they_were_given(make, encode, kind, graph, y):
    plain = make().fit(graph, y)
    clf = make().fit(graph, encode(y))
    assert clf.classes_.dtype.kind in (kind, "O" if kind == "U" else kind)
    classes = np.unique(np.asarray(encode(np.arange(3).repeat(27)[:80])))
    assert (clf.predict(graph) == classes[plain.predict(graph)]).all()
    assert (clf.transduction_ == clf.predict(graph)).all()
    assert np.array_equal(clf.predict_proba(graph), plain.predict_proba(graph))
    assert clf.score(graph, encode(y)) == plain.score(graph, y)


@both
@pytest.mark.parametrize("classes", [[False, True], [-1, 1], [-1.0, 1.0], [1, 2]], ids=str)
def test_two_classes_of_any_coding(make, classes, graph, y):
    labels = np.array(classes)[(y > 0).astype(int)]
    clf = make().fit(graph, labels)
    assert clf.classes_.tolist() == classes
    decision = clf.decision_function(graph)
    assert decision.shape == (80,)
    assert (clf.predict(graph) == clf.classes_[(decision > 0).astype(int)]).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), clf.predict_proba(graph)[:, 1])


@both
@pytest.mark.parametrize(
    ("hide", "strings"),
    [
        (lambda y, known: np.where(known, y, -1), False),
        (lambda y, known: np.where(known, y, -1.0), False),
        (lambda y, known: np.where(known, y, np.nan), False),
        (lambda y, known: [v if k else None for v, k in zip(y.tolist(), known)], False),
        (lambda y, known: [v if k else -1 for v, k in zip(y.tolist(), known)], False),
        (lambda y, known: np.where(known, NAMES[y], None), True),
        (lambda y, known: [v if k else None for v, k in zip(NAMES[y].tolist(), known)], True),
        (lambda y, known: [v if k else np.nan for v, k in zip(NAMES[y].tolist(), known)], True),
        (lambda y, known: pd.Series(NAMES[y]).where(known), True),
        (lambda y, known: pd.Series(y).where(known), False),
        (lambda y, known: pd.Series(y, dtype="Int64").where(known), False),
        (lambda y, known: pd.Series(NAMES[y], dtype="string").where(known), True),
        (lambda y, known: pd.Series(NAMES[y]).where(known).astype("category"), True),
    ],
    ids=[
        "-1",
        "-1.0",
        "NaN",
        "list with None",
        "list with -1",
        "strings and None",
        "list of strings and None",
        "list of strings and NaN",
        "Series of strings",
        "Series of floats",
        "Series of Int64 with NA",
        "Series of string with NA",
        "categories with NaN",
    ],
)
def test_unlabelled_nodes_are_left_out(make, hide, strings, graph, y, known):
    clf = make().fit(graph, hide(y, known))
    labels = NAMES[y] if strings else y
    expected = make().fit(graph[known], labels[known])
    assert_same_fit(clf, expected, graph)


@both
def test_minus_one_is_no_class_beside_more_than_one_other_value(make, graph, y):
    assert make().fit(graph, y - 1).classes_.tolist() == [0, 1]


@both
@pytest.mark.parametrize("text", ["nan", "None", "-1", ""])
def test_a_class_that_looks_like_a_missing_label_is_named(make, text, graph, y):
    labels = np.where(y == 0, text, NAMES[y])
    with pytest.warns(UserWarning, match=rf"^'{text}' is a class like any other.*put None there"):
        clf = make().fit(graph, labels)
    assert text in clf.classes_


@both
def test_labels_keyed_by_node_name(make, named, y):
    expected = make().fit(named, y)
    shuffled = np.random.RandomState(0).permutation(80)
    series = pd.Series(y, index=named.node_names)
    assert_same_fit(make().fit(named, series.iloc[shuffled]), expected, named)
    by_name = dict(zip(named.node_names[shuffled].tolist(), y[shuffled].tolist()))
    assert_same_fit(make().fit(named, by_name), expected, named)


@both
def test_score_of_labels_keyed_by_node_name(make, named, y):
    clf = make().fit(named, y)
    view, expected = named[::2], clf.score(named[::2], y[::2])
    assert clf.score(view, dict(zip(named.node_names.tolist(), y.tolist()))) == expected
    assert clf.score(view, pd.Series(y, index=named.node_names)[::-1]) == expected
    assert clf.score(view, y[::2].astype(object)) == expected


@both
def test_nodes_missing_from_a_dict_are_unlabelled(make, named, y, known):
    by_name = dict(zip(named.node_names[known].tolist(), NAMES[y[known]].tolist()))
    clf = make().fit(named, by_name)
    assert_same_fit(clf, make().fit(named[known], NAMES[y[known]]), named)
    series = pd.Series(by_name)
    assert_same_fit(make().fit(named, series), clf, named)


@both
def test_dict_of_all_labels_on_a_view_reads_only_the_view(make, named, y, known):
    by_name = dict(zip(named.node_names.tolist(), y.tolist()))
    clf = make().fit(named[known], by_name)
    assert_same_fit(clf, make().fit(named[known], y[known]), named)


@both
def test_series_on_a_graph_without_names_is_positional(make, graph, y):
    series = pd.Series(y, index=np.random.RandomState(0).permutation(80))
    with pytest.warns(UserWarning, match=r"^the index of y, .* is not read.*y\.to_dict\(\)"):
        clf = make().fit(graph, series)
    assert_same_fit(clf, make().fit(graph, y), graph)


@both
def test_an_index_of_words_on_a_graph_without_names_is_mentioned(make, graph, y):
    with pytest.warns(UserWarning, match=r"^the index of y, \['word 0'.* is not read.*node_names"):
        make().fit(graph, pd.Series(y, index=[f"word {i}" for i in range(80)]))


@pytest.fixture
def table(named, y, known):
    """Labels, a mask and roles of the nodes in another order, by name."""
    role = np.resize(["train", "temperature", "stop", None], 80)
    columns = {"y": y, "known": known, "role": role}
    return pd.DataFrame(columns, index=named.node_names).sample(frac=1, random_state=0)


@both
def test_a_mask_and_roles_by_name_are_put_in_order_too(make, named, table, y, known):
    expected = make().fit(named, y, labeled_mask=known)
    assert_same_fit(make().fit(named, table.y, labeled_mask=table.known), expected, named)
    assert_same_fit(make().fit(named, y, labeled_mask=table.known[table.known]), expected, named)
    expected = make().fit(named, y, role=table.role[named.node_names].to_numpy())
    assert_same_fit(make().fit(named, table.y, role=table.role), expected, named)


@both
def test_hidden_labels_are_not_read_whatever_their_order(make, named, table):
    expected = make().fit(named, table.y, labeled_mask=table.known)
    other = table.y.where(table.known, (table.y + 1) % 3)
    assert_same_fit(make().fit(named, other, labeled_mask=table.known), expected, named)


@both
@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("labeled_mask", lambda table: table.known.to_numpy()),
        ("labeled_mask", lambda table: table.known.tolist()),
        ("labeled_mask", lambda table: table.known.reset_index(drop=True)),
        ("labeled_mask", lambda table: np.flatnonzero(table.known)),
        ("role", lambda table: table.role.to_numpy()),
        ("role", lambda table: table.role.reset_index(drop=True)),
    ],
)
def test_a_mask_or_roles_in_an_order_that_is_not_told_are_refused(make, what, values, named, table):
    with pytest.raises(ValueError, match=rf"y is put in the order.*{what} is not indexed.*Series"):
        make().fit(named, table.y, **{what: values(table)})


def test_weights_follow_the_labels(named, y, table):
    clf = gnn().fit(named, y)
    weights = pd.Series(np.arange(80.0), index=named.node_names)
    expected = clf.score(named, y, weights.to_numpy())
    assert clf.score(named, table.y, weights[table.index]) == expected
    assert clf.score(named, y, weights[table.index]) == expected
    with pytest.raises(ValueError, match="sample_weight is not indexed"):
        clf.score(named, table.y, weights.to_numpy())


@both
def test_what_is_missing_in_a_mask_is_not_known(make, named, graph, y, known):
    mask = pd.Series(known, index=named.node_names, dtype="boolean")
    mask[~known] = pd.NA
    expected = make().fit(named, y, labeled_mask=known)
    assert_same_fit(make().fit(named, y, labeled_mask=mask[::-1]), expected, named)
    mask.index = range(80)
    assert_same_fit(make().fit(graph, y, labeled_mask=mask), expected, named)
    assert graph[mask].nodes.tolist() == np.flatnonzero(known).tolist()


def test_labels_that_a_splitter_has_put_in_another_order_are_refused(named, y, known):
    series = pd.Series(y, index=named.node_names).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match=r"names of other nodes.*y = y\.loc\[graph\.node_names\]"):
        gnn().fit(named[:40], series[:40])


@both
def test_repeated_nodes_with_labels_in_the_same_order(make, named, y):
    nodes = np.random.RandomState(0).randint(80, size=60)
    series = pd.Series(y, index=named.node_names)
    expected = make().fit(named[nodes], y[nodes])
    assert_same_fit(make().fit(named[nodes], series.iloc[nodes]), expected, named)


@both
def test_masked_labels_and_those_of_pandas_and_numpy_that_are_missing(make, graph, y, known):
    expected = make().fit(graph[known], NAMES[y[known]])
    dates = np.array(["2020", "2021", "2022"], "datetime64[Y]")[y]
    dates[~known] = "NaT"
    assert make().fit(graph, dates).classes_.astype(str).tolist() == ["2020", "2021", "2022"]
    assert_same_fit(make().fit(graph, np.ma.array(NAMES[y], mask=~known)), expected, graph)
    missing = pd.Series(NAMES[y], dtype="string").where(known)
    with pytest.raises(ValueError, match="40 of 80 nodes are unlabelled"):
        expected.score(graph, missing)
    score = expected.score(graph[known], NAMES[y[known]])
    assert expected.score(graph[known], missing[known]) == score


@pytest.mark.parametrize("form", [list, lambda y: np.array(y, object), pd.Series])
def test_unlabelled_nodes_are_not_scored_where_minus_one_and_one_are_left(form, graph, named, y):
    clf = gnn().fit(graph, y)
    labels = form([-1, 1, 1, -1])
    for some in (graph[:4], named[:4]):
        if isinstance(labels, pd.Series) and some.has_node_names:
            labels.index = some.node_names
        with pytest.raises(ValueError, match="2 of 4 nodes are unlabelled"):
            clf.score(some, labels)
    assert 0 <= gnn().fit(graph, np.where(y > 0, 1, -1)).score(graph[:4], [-1, 1, 1, -1]) <= 1


@pytest.mark.parametrize("by_name", [False, True])
def test_labels_that_are_true_false_or_missing(by_name, graph, named, y, known):
    labels = pd.Series(y == 1, dtype="boolean").where(known)
    if by_name:
        labels = labels.set_axis(named.node_names)[::-1]
    expected = gnn().fit(graph[known], (y == 1)[known])
    assert_same_fit(gnn().fit(named if by_name else graph, labels), expected, graph)


def test_strings_of_two_kinds_are_of_one_type(graph, y):
    labels = NAMES[y].astype(object)
    labels[3] = np.str_(labels[3])
    assert_same_fit(gnn().fit(graph, labels), gnn().fit(graph, NAMES[y]), graph)


@both
@pytest.mark.parametrize("backbone", ["gcn", "sage"])
def test_a_fit_and_a_prediction_inside_inference_mode(make, backbone, graph, y):
    expected = make(backbone=backbone).fit(graph, y)
    fresh = Graph(graph.adjacency, graph.X)
    with torch.inference_mode():
        inside = make(backbone=backbone).fit(fresh, y)
    assert_same_fit(inside, expected, graph)
    fresh = Graph(graph.adjacency, graph.X)
    with torch.inference_mode():
        expected.predict(fresh)
    assert_same_fit(make(backbone=backbone).fit(fresh, y), expected, graph)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_class_of_no_weight(batch_size, graph, y):
    """Batches of two nodes of that class occur."""
    clf = gnn(class_weight={0: 0.0, 1: 1.0, 2: 1.0}, batch_size=batch_size).fit(graph, y)
    assert np.isfinite(clf.predict_proba(graph)).all()


def test_edges_that_hardly_count_are_mentioned(graph, y):
    light = Graph(graph.adjacency / 1000, graph.X)
    with pytest.warns(UserWarning, match=r"edges of a node weigh 0\.00\d+ together.*Scale"):
        gnn().fit(light, y)
    few = sp.csr_array(([1.0, 1.0], ([0, 1], [1, 0])), shape=(80, 80))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gnn().fit(Graph(few, graph.X), y)
        gnn(backbone="mlp").fit(light, y)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e15])
def test_features_of_any_size(scale, graph, y):
    scaled = graph.with_features(graph.X.astype(float) * scale)
    assert np.isfinite(gnn().fit(scaled, y).predict_proba(scaled)).all()


def test_temperature_labels_are_not_counted_where_there_are_none(graph, y):
    ltd(scalable=True, validation_fraction=0.7).fit(graph, y)
    with pytest.raises(ValueError, match=r"must be below 1, got 0\.4 \+ 0\.7"):
        ltd(validation_fraction=0.7).fit(graph, y)


@both
@pytest.mark.parametrize("index", [np.arange(80), np.arange(80) + 1000], ids=["same", "others"])
def test_an_index_that_says_nothing_else_is_not_mentioned(make, index, graph, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        make().fit(graph, pd.Series(y, index=index))
        make().fit(graph[20:], pd.Series(y, index=index)[20:])


@both
def test_labels_in_a_frame_of_one_column(make, named, y):
    clf = make().fit(named, y)
    with pytest.warns(DataConversionWarning):
        assert_same_fit(make().fit(named, pd.DataFrame({"y": y})), clf, named)


# Selections and roles


@both
def test_labeled_mask_is_sugar_for_the_view(make, graph, y, known):
    expected = make().fit(graph[known], y[known])
    assert_same_fit(make().fit(graph, y, known), expected, graph)
    assert_same_fit(make().fit(graph, y, known.tolist()), expected, graph)
    assert_same_fit(make().fit(graph, y, np.flatnonzero(known)), expected, graph)
    assert_same_fit(make().fit(graph, y, labeled_mask=np.flatnonzero(known)), expected, graph)


@both
def test_labeled_mask_counts_along_the_view(make, graph, y, known):
    clf = make().fit(graph[20:], y[20:], known[20:])
    nodes = 20 + np.flatnonzero(known[20:])
    assert_same_fit(clf, make().fit(graph[nodes], y[nodes]), graph)


@both
def test_roles_follow_the_labeled_mask_and_the_view(make, graph, y, role):
    expected = make().fit(graph, y, role=role)
    used = np.flatnonzero(role != "")
    assert_same_fit(make().fit(graph[used], y[used], role=role[used]), expected, graph)
    everywhere = np.where(role == "", "train", role)
    assert_same_fit(make().fit(graph, y, role != "", role=everywhere), expected, graph)
    as_objects = [r or None for r in role.tolist()]
    assert_same_fit(make().fit(graph, y, role=as_objects), expected, graph)


@both
def test_nodes_selected_twice_count_once(make, graph, y, known):
    nodes = np.flatnonzero(known)
    twice = np.concatenate([nodes, nodes[:5]])
    assert_same_fit(make().fit(graph[twice], y[twice]), make().fit(graph[nodes], y[nodes]), graph)


@both
@pytest.mark.parametrize("backbone", BACKBONES)
def test_labels_outside_the_roles_are_never_read(make, backbone, graph, y, role):
    garbled = y.copy()
    hidden = np.flatnonzero(role == "")
    garbled[hidden] = np.random.RandomState(3).choice([-1, 0, 1, 2, 99], len(hidden))
    assert (garbled != y).any()
    one = make(backbone=backbone).fit(graph, y, role=role)
    other = make(backbone=backbone).fit(graph, garbled, role=role)
    assert_same_fit(one, other, graph)


@both
@pytest.mark.parametrize("backbone", BACKBONES)
def test_labels_outside_the_mask_are_never_read(make, backbone, graph, y, known):
    garbled = y.copy()
    garbled[~known] = np.random.RandomState(3).choice([-1, 0, 1, 2, 99], (~known).sum())
    one = make(backbone=backbone).fit(graph, y, known)
    other = make(backbone=backbone).fit(graph, garbled, known)
    assert_same_fit(one, other, graph)


@both
@pytest.mark.parametrize("name", ["train", "temperature", "stop"])
def test_labels_of_every_role_are_read(make, name, graph, y, role):
    changed = y.copy()
    node = np.flatnonzero(role == name)[0]
    changed[node] = (y[node] + 1) % 3
    one = make().fit(graph, y, role=role)
    other = make().fit(graph, changed, role=role)
    assert one.history_ != other.history_
    if name == "train":
        assert not np.array_equal(one.predict_proba(graph), other.predict_proba(graph))


@both
def test_two_labels_per_class_are_enough(make, graph, y):
    nodes = np.concatenate([np.flatnonzero(y == c)[:2] for c in range(3)])
    proba = make().fit(graph[nodes], y[nodes]).predict_proba(graph)
    assert proba.shape == (80, 3)
    assert np.isfinite(proba).all()


# Predictions


@both
@pytest.mark.parametrize("backbone", BACKBONES)
def test_predictions_agree_with_each_other(make, backbone, graph, y, known):
    clf = make(backbone=backbone).fit(graph[known], y[known])
    proba = clf.predict_proba(graph)
    assert proba.shape == (80, 3)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(graph)), proba)
    decision = clf.decision_function(graph)
    assert decision.shape == (80, 3)
    assert (clf.classes_[decision.argmax(1)] == clf.predict(graph)).all()
    assert (clf.transduction_ == clf.predict(graph)).all()
    width = 3 if backbone == "sgc" else 8
    assert clf.transform(graph).shape == (80, width)
    view = graph[[70, 3, 3, 41]]
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        rows = getattr(clf, method)(view)
        assert np.array_equal(rows, getattr(clf, method)(graph)[[70, 3, 3, 41]])


@both
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_sparse_features_and_any_depth(make, backbone, n_layers, graph, y):
    sparse = Graph(graph.adjacency, sp.csr_array(graph.X))
    clf = make(backbone=backbone, n_layers=n_layers, max_iter=3).fit(sparse, y)
    assert np.isfinite(clf.predict_proba(sparse)).all()
    dense = clf.predict_proba(graph)
    np.testing.assert_allclose(clf.predict_proba(sparse), dense, atol=1e-5)
    np.testing.assert_allclose(clf.transform(sparse), clf.transform(graph), atol=1e-5)


@both
def test_score_is_the_accuracy(make, graph, y, known):
    clf = make().fit(graph[known], y[known])
    assert clf.score(graph[~known], y[~known]) == (clf.predict(graph) == y)[~known].mean()
    weight = known + 1.0
    expected = np.average(clf.predict(graph) == y, weights=weight)
    assert clf.score(graph, y, sample_weight=weight) == pytest.approx(expected)


@both
@pytest.mark.parametrize("unlabelled", [-1, np.nan, None])
def test_unlabelled_nodes_are_never_scored(make, unlabelled, graph, y, known):
    clf = make().fit(graph[known], y[known])
    partly = np.where(known, y, unlabelled)
    with pytest.raises(ValueError, match=r"40 of 80 nodes are unlabelled.*score\(graph\[mask\]"):
        clf.score(graph, partly)
    assert clf.score(graph[known], partly[known].astype(int)) >= 0


@both
def test_score_of_minus_one_that_is_a_class(make, graph, y):
    labels = np.where(y > 0, 1, -1)
    clf = make().fit(graph, labels)
    negative = np.flatnonzero(labels == -1)
    assert 0 <= clf.score(graph[negative], labels[negative]) <= 1


@both
def test_another_graph_with_the_same_features(make, graph, y):
    clf = make().fit(graph[:50].induced(), y[:50])
    copy = Graph(graph.adjacency.copy(), graph.X.copy())
    assert np.array_equal(clf.predict_proba(copy), clf.predict_proba(graph))
    other = make_attributed_sbm(n_nodes=33, n_classes=3, n_features=12, random_state=5).graph
    proba = clf.predict_proba(other)
    assert proba.shape == (33, 3)
    assert np.isfinite(proba).all()


@both
def test_mlp_student_needs_no_edges(make, graph, y):
    clf = make(backbone="mlp").fit(graph, y)
    no_edges = Graph(sp.csr_array((80, 80)), graph.X)
    assert np.array_equal(clf.predict_proba(no_edges), clf.predict_proba(graph))


@both
def test_without_features_only_the_training_graph_can_be_predicted(make, graph, y):
    bare = Graph(graph.adjacency)
    clf = make().fit(bare[:60], y[:60])
    assert np.isfinite(clf.predict_proba(bare[60:])).all()
    assert clf.predict(Graph(graph.adjacency.copy())[60:]).shape == (20,)
    permuted = np.random.RandomState(0).permutation(80)
    with pytest.raises(ValueError, match=r"without node features.*another graph"):
        clf.predict(Graph(graph.adjacency[permuted][:, permuted]))
    with pytest.raises(ValueError, match=r"12 features.*no features"):
        clf.predict(graph)


@both
def test_feature_names_are_kept_and_compared(make, graph, y):
    columns = [f"f{i}" for i in range(12)]
    frame = pd.DataFrame(graph.X, columns=columns)
    clf = make().fit(Graph(graph.adjacency, frame), y)
    assert clf.feature_names_in_.tolist() == columns
    assert clf.n_features_in_ == 12
    with pytest.raises(ValueError, match=r"feature names.*Reorder"):
        clf.predict(Graph(graph.adjacency, frame[columns[::-1]]))
    with pytest.warns(UserWarning, match="X does not have valid feature names.*same order"):
        clf.predict(graph)
    clf.fit(graph, y)
    assert not hasattr(clf, "feature_names_in_")


# Fitting


@both
@pytest.mark.parametrize("backbone", BACKBONES)
def test_same_seed_same_model_bit_for_bit(make, backbone, graph, y):
    one, other = make(backbone=backbone), make(backbone=backbone)
    assert_same_fit(one.fit(graph, y), other.fit(graph, y), graph)
    different = make(backbone=backbone, random_state=1).fit(graph, y)
    assert not np.array_equal(different.predict_proba(graph), one.predict_proba(graph))


@both
def test_the_global_torch_seed_does_not_matter(make, graph, y):
    expected = make().fit(graph, y)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert_same_fit(make().fit(graph, y), expected, graph)


@both
def test_random_state_may_be_an_instance(make, graph, y):
    one = make(random_state=np.random.RandomState(7)).fit(graph, y)
    other = make(random_state=np.random.RandomState(7)).fit(graph, y)
    assert_same_fit(one, other, graph)


@both
def test_random_state_none_draws_from_numpy(make, graph, y):
    before = np.random.get_state()
    try:
        one, other = (make(random_state=None).fit(graph, y) for _ in range(2))
        assert one.history_ != other.history_
        np.random.set_state(before)
        assert_same_fit(make(random_state=None).fit(graph, y), one, graph)
    finally:
        np.random.set_state(before)


@both
def test_repeated_fit_starts_afresh(make, graph, y):
    other = make_attributed_sbm(n_nodes=60, n_classes=2, n_features=5, random_state=1)
    clf = make().fit(other.graph, other.y)
    clf.predict(other.graph)
    clf.fit(graph, y)
    assert clf.n_features_in_ == 12
    assert_same_fit(clf, make().fit(graph, y), graph)


@both
def test_fit_returns_self_and_leaves_its_inputs_alone(make, graph, y, role):
    X, adjacency = graph.X.copy(), graph.adjacency.copy()
    labels, roles = y.copy(), role.copy()
    clf = make()
    params = clf.get_params(deep=False)
    assert clf.fit(graph, labels, role=roles) is clf
    assert np.array_equal(graph.X, X)
    assert (graph.adjacency != adjacency).nnz == 0
    assert np.array_equal(labels, y)
    assert np.array_equal(roles, role)
    after = clf.get_params(deep=False)
    assert all(after[name] is value for name, value in params.items())


@both
def test_parameters_can_be_set_and_cloned(make, graph, y):
    clf = make().fit(graph, y)
    clf.set_params(hidden_dim=5, dropout=0.1)
    copy = clone(clf)
    assert copy.get_params()["hidden_dim"] == 5
    assert copy.dropout == 0.1
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    assert copy.fit(graph, y).transform(graph).shape == (80, 5)


@both
def test_history_has_a_record_of_floats_per_epoch(make, graph, y):
    clf = make(max_iter=9).fit(graph, y)
    assert len(clf.history_) == clf.n_iter_ <= 9
    assert 1 <= clf.best_iter_ <= clf.n_iter_
    losses = {"loss"}
    if make is ltd:
        losses |= {"evaluation_loss", "temperature_mean", "temperature_negative"}
        losses |= {"temperature_q05", "temperature_median", "temperature_q95", "agreement"}
    for record in clf.history_:
        assert set(record) == losses | {"stop_accuracy", "stop_loss"}
        assert all(type(value) is float for value in record.values())
        assert np.isfinite(list(record.values())).all()


@both
@pytest.mark.parametrize("backbone", ["gcn", "gat"])
def test_early_stopping_restores_the_best_epoch(make, backbone, graph, y, role):
    params = {"backbone": backbone, "learning_rate": 0.5}
    if make is ltd:
        params["refit"] = False
    clf = make(**params, max_iter=60, n_iter_no_change=4).fit(graph, y, role=role)
    assert clf.best_iter_ < clf.n_iter_
    assert clf.n_iter_ == min(clf.best_iter_ + 4, 60)
    exactly = make(**params, max_iter=clf.best_iter_, n_iter_no_change=1000)
    exactly.fit(graph, y, role=role)
    assert np.array_equal(exactly.predict_proba(graph), clf.predict_proba(graph))
    if make is ltd:
        assert np.array_equal(exactly.temperatures_, clf.temperatures_)
    best = clf.history_[clf.best_iter_ - 1]
    taken = clf.classes_[clf._forward(graph[role == "stop"]).argmax(axis=1)]  # not calibrated
    assert best["stop_accuracy"] == pytest.approx(np.mean(taken == y[role == "stop"]))
    counted = clf.history_[getattr(clf, "warmup_iter", 0) :]
    assert _criterion(best) == min(map(_criterion, counted))
    if make is not ltd:
        assert _criterion(best) == best["stop_loss"]


def test_the_last_fit_trains_on_all_labels_with_the_temperatures_and_epochs_found(graph, y, role):
    first = ltd(refit=False).fit(graph, y, role=role)
    again = ltd().fit(graph, y, role=role)
    assert np.array_equal(again.temperatures_, first.temperatures_)
    assert again.best_iter_ == first.best_iter_
    assert again.history_ == first.history_
    assert not np.array_equal(again.predict_proba(graph), first.predict_proba(graph))
    wrong = y.copy()  # the label of a "stop" node matters to the last student only
    node = np.flatnonzero(role == "stop")[0]
    wrong[node] = (y[node] + 1) % 3
    other = ltd(max_iter=1, adapt_teacher=False).fit(graph, wrong, role=role)
    same = ltd(max_iter=1, adapt_teacher=False).fit(graph, y, role=role)
    assert np.array_equal(other.temperatures_, same.temperatures_)
    assert not np.array_equal(other.predict_proba(graph), same.predict_proba(graph))


def test_a_last_fit_whose_numbers_become_infinite_leaves_the_student_before_it(graph, y, role):
    made = []

    def backbone(n_features, n_classes):
        module = make_backbone("gcn", n_features, n_classes, 8, 2, 0.5)
        if made:
            module.layers[0].bias.register_hook(lambda gradient: gradient / 0)
        made.append(module)
        return module

    with pytest.warns(ConvergenceWarning, match="refit: .* no longer finite in epoch 2"):
        clf = ltd(teacher="gcn", backbone=backbone, max_iter=3).fit(graph, y, role=role)
    made.clear()
    first = ltd(teacher="gcn", backbone=backbone, max_iter=3, refit=False)
    first.fit(graph, y, role=role)
    assert np.array_equal(clf.predict_proba(graph), first.predict_proba(graph))


@pytest.mark.parametrize("epoch", [1, 4])
def test_without_stop_nodes_the_last_finite_epoch_counts(epoch, graph, y):
    def backbone(n_features, n_classes):
        module, seen = make_backbone("gcn", n_features, n_classes, 8, 2, 0.5), []

        def spoil(gradient):
            seen.append(1)
            return gradient / 0 if len(seen) == epoch else gradient

        module.layers[0].bias.register_hook(spoil)
        return module

    params = {"random_state": 0, "device": "cpu"}
    clf = GNNNodeClassifier(backbone, max_iter=6, **params)
    role = np.full(len(y), "train")
    if epoch == 1:
        with pytest.raises(FloatingPointError, match="no epoch gave finite numbers"):
            clf.fit(graph, y, role=role)
        return
    with pytest.warns(ConvergenceWarning, match="no longer finite in epoch 4"):
        clf.fit(graph, y, role=role)
    assert clf.best_iter_ == 3
    before = GNNNodeClassifier(backbone, max_iter=3, **params).fit(graph, y, role=role)
    assert np.array_equal(clf.predict_proba(graph), before.predict_proba(graph))


@both
@pytest.mark.parametrize("unit", [2.0**10, 2.0**-50])
@pytest.mark.parametrize("backbone", ["gcn", "gat", "sage", "appnp", "sgc", "mlp"])
def test_the_unit_of_the_features_does_not_matter(make, backbone, unit, graph, y, role):
    clf = make(backbone=backbone).fit(graph, y, role=role)
    other = make(backbone=backbone).fit(graph.with_features(graph.X * unit), y, role=role)
    proba = other.predict_proba(graph.with_features(graph.X * unit))
    np.testing.assert_allclose(proba, clf.predict_proba(graph), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_the_penalty_is_that_of_averaged_features(batch_size, monkeypatch, graph, y):
    """GCN on complete graphs, where averaging leaves next to nothing of random features."""
    penalties = []

    class Recorded(TensorAdam):
        """Does not step, but tells the penalties."""

        def step(self):
            penalties.append([group["weight_decay"] for group in self.param_groups])

    monkeypatch.setattr(_base, "TensorAdam", Recorded)
    n = len(graph)
    complete = Graph(np.ones((n, n)) - np.eye(n), np.random.RandomState(0).randn(n, 9))
    alone = Graph(sp.csr_array((n, n)), complete.X)
    for drawn in (complete, alone):
        gnn(backbone="gcn", weight_decay=0.5, batch_size=batch_size, max_iter=1).fit(drawn, y)
    of_complete, of_alone = penalties[0], penalties[-1]
    assert of_alone == pytest.approx([0.5, 0.5])
    assert of_complete[0] == 0.5
    assert of_complete[1] < 0.1


@pytest.mark.parametrize("unit", [1.0, 2.0**-10])
@pytest.mark.parametrize(
    ("backbone", "n_layers", "expected"),
    [("gcn", 2, 0.02), ("mlp", 2, 0.02), ("sgc", 2, 0.06), ("gcn", 1, 0.06), ("gat", 1, 0.06)],
)
def test_the_first_step_relative_to_the_weights(backbone, n_layers, expected, unit, graph, y):
    """Of the features' weights, which have to grow alone where there is no other layer."""

    def weights(learning_rate):
        clf = gnn(backbone=backbone, n_layers=n_layers, learning_rate=learning_rate, max_iter=1)
        clf.fit(graph.with_features(graph.X * unit), y)
        return next(values for values in clf.state_.values() if values.ndim == 2)

    start = weights(1e-9)
    step = weights(0.02) - start
    assert np.linalg.norm(step) / np.linalg.norm(start) == pytest.approx(expected, rel=0.01)


@both
def test_without_validation_fraction_all_epochs_run(make, graph, y):
    clf = make(validation_fraction=0, n_iter_no_change=1).fit(graph, y)
    assert clf.n_iter_ == clf.best_iter_ == 4


@both
def test_without_stop_role_all_epochs_run(make, graph, y, role):
    role = np.where(role == "stop", "", role)
    clf = make(n_iter_no_change=1).fit(graph, y, role=role)
    assert clf.n_iter_ == clf.best_iter_ == 4


@both
def test_class_weight_favours_a_class(make, graph, y, role):
    labels = NAMES[y]
    role = np.where(role == "stop", "", role)
    plain = make().fit(graph, labels, role=role)
    weighted = make(class_weight={"bee": 50.0}).fit(graph, labels, role=role)
    assert weighted.predict_proba(graph)[:, 1].mean() > plain.predict_proba(graph)[:, 1].mean()


@both
def test_balanced_class_weight_helps_the_rare_class(make, graph, y):
    nodes = np.concatenate([np.flatnonzero(y == 0)[:6], np.flatnonzero(y != 0)])
    role = np.resize(["train", "temperature"], len(nodes))
    params = {"adapt_teacher": False} if make is ltd else {}
    plain = make(**params).fit(graph[nodes], y[nodes], role=role)
    balanced = make(**params, class_weight="balanced").fit(graph[nodes], y[nodes], role=role)
    assert balanced.predict_proba(graph)[:, 0].mean() > plain.predict_proba(graph)[:, 0].mean()


@both
def test_verbose_prints_losses(make, graph, y, capsys):
    make(verbose=0).fit(graph, y)
    assert capsys.readouterr().out == ""
    clf = make(verbose=1).fit(graph, y)
    few = capsys.readouterr().out
    assert type(clf).__name__ in few
    assert "loss" in few
    make(verbose=2).fit(graph, y)
    assert len(capsys.readouterr().out.splitlines()) == 4 > len(few.splitlines())


# Devices and networks of one's own


@both
def test_pickled_model_predicts_the_same(make, graph, y):
    clf = make().fit(graph, y)
    before = pickle.dumps(clf)
    expected = clf.predict_proba(graph)
    assert len(pickle.dumps(clf)) == len(before), "caches are pickled"
    assert np.array_equal(pickle.loads(before).predict_proba(graph), expected)


@both
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_cuda_gives_what_the_cpu_gives(make, backbone, graph, y, monkeypatch):
    monkeypatch.setattr(TemperatureNetwork, "dropout", 0.0)  # devices draw differently
    params = {"backbone": backbone, "dropout": 0.0, "max_iter": 3, "learning_rate": 0.05}
    clf = make(**params, device="cuda").fit(graph, y)
    on_gpu = clf.predict_proba(graph)
    on_cpu = make(**params, device="cpu").fit(graph, y).predict_proba(graph)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=2e-3)
    untrained = make(**params | {"learning_rate": 1e-9}, device="cpu").fit(graph, y)
    assert np.abs(on_gpu - untrained.predict_proba(graph)).max() > 0.02
    stored = pickle.dumps(clf)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    loaded = pickle.loads(stored)
    np.testing.assert_allclose(loaded.predict_proba(graph), on_gpu, atol=1e-4)


@both
def test_model_travels_to_a_machine_without_its_device(make, graph, y):
    clf = make().fit(graph, y)
    expected = clf.predict_proba(graph)
    stored = pickle.loads(pickle.dumps(clf))
    stored.device = "cuda:77"
    assert np.array_equal(stored.predict_proba(graph), expected)


def pyg_gcn(n_features, n_classes):
    from torch_geometric.nn.models import GCN

    return GCN(n_features, 8, 2, n_classes)


class WithSoftmax(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, edge_index):
        return self.module(x, edge_index).softmax(1)


class Weighted(torch.nn.Module):
    """Sums over incoming edges, by their weights."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.hidden = torch.nn.Linear(n_features, 7)
        self.out = torch.nn.Linear(7, n_classes)

    def forward(self, x, edge_index, edge_weight):
        source, target = edge_index
        h = self.hidden(x).relu()
        messages = h[source] * edge_weight.unsqueeze(1)
        return self.out(h + torch.zeros_like(h).index_add(0, target, messages))


class Unweighted(Weighted):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index, torch.ones(edge_index.shape[1]))


@both
@pytest.mark.parametrize(
    ("backbone", "width"),
    [
        (pyg_gcn, 8),
        (lambda n_features, n_classes: pyg_gcn(n_features, n_classes), 8),
        (Weighted, 7),
        (Unweighted, 7),
    ],
    ids=["function", "lambda", "class with edge_weight", "class without"],
)
def test_network_of_ones_own(make, backbone, width, graph, y):
    clf = make(backbone=backbone, teacher="mlp") if make is ltd else make(backbone=backbone)
    clf.fit(graph, y)
    proba = clf.predict_proba(graph)
    assert proba.shape == (80, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert clf.transform(graph).shape == (80, width)
    assert np.array_equal(clone(clf).fit(graph, y).predict_proba(graph), proba)


def test_a_network_that_gives_probabilities_is_named(graph, y):
    def with_softmax(n_features, n_classes):
        return WithSoftmax(pyg_gcn(n_features, n_classes))

    with pytest.warns(UserWarning, match="^the network gives probabilities.*its last softmax"):
        gnn(backbone=with_softmax).fit(graph, y)


def test_network_of_ones_own_for_other_features_says_what_it_got(graph, y):
    with pytest.raises(RuntimeError) as caught:
        gnn(backbone=lambda n_features, n_classes: pyg_gcn(7, n_classes)).fit(graph, y)
    assert "called as module(x, edge_index) with x of shape (80, 12)" in caught.value.__notes__[0]


@both
def test_network_of_ones_own_learns_and_is_pickled(make, graph, y):
    params = {"backbone": pyg_gcn, "max_iter": 30, "learning_rate": 0.05}
    if make is ltd:
        params["teacher"] = None  # the same network
    clf = make(**params).fit(graph[:60], y[:60])
    assert clf.score(graph[:60], y[:60]) > 0.6
    loaded = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(loaded.predict_proba(graph), clf.predict_proba(graph))


@both
def test_edge_weights_reach_a_network_that_asks_for_them(make, graph, y):
    heavy = Graph(graph.adjacency * 3, graph.X)
    clf = make(backbone=Weighted).fit(graph, y)
    assert not np.allclose(clf.predict_proba(heavy), clf.predict_proba(graph))
    clf = make(backbone=Unweighted).fit(graph, y)
    assert np.array_equal(clf.predict_proba(heavy), clf.predict_proba(graph))


def test_a_fit_gives_torch_its_threads_back(tiny):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        GNNNodeClassifier(max_iter=2, random_state=0).fit(tiny.graph, tiny.y)
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match=r"inconsistent"):
            GNNNodeClassifier(random_state=0).fit(tiny.graph, tiny.y[:-1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_number_of_threads_does_not_change_a_small_fit(tiny):
    before = torch.get_num_threads()
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        clf = LTDNodeClassifier(hidden_dim=8, max_iter=8, random_state=0, device="cpu")
        results.append(clf.fit(tiny.graph, tiny.y).state_)
    torch.set_num_threads(before)
    for name, parameter in results[0].items():
        np.testing.assert_array_equal(parameter, results[1][name])


def test_the_kept_epoch_lies_after_the_warm_up(tiny):
    settings = {"hidden_dim": 8, "random_state": 0, "device": "cpu", "warmup_iter": 12}
    clf = LTDNodeClassifier(max_iter=20, **settings).fit(tiny.graph, tiny.y)
    assert clf.best_iter_ > 12
    short = LTDNodeClassifier(max_iter=5, **settings).fit(tiny.graph, tiny.y)
    assert 1 <= short.best_iter_ <= 5


@pytest.mark.parametrize("params", [{"scalable": True}, {"temperature": 1.0}])
def test_no_label_is_set_aside_where_nothing_is_learned(tiny, params):
    settings = {"hidden_dim": 4, "max_iter": 3, "random_state": 0, "device": "cpu"}
    clf = LTDNodeClassifier(**settings, **params)
    clf.fit(tiny.graph, tiny.y)
    other = clone(clf).set_params(temperature_fraction=0.1).fit(tiny.graph, tiny.y)
    np.testing.assert_array_equal(clf.predict_proba(tiny.graph), other.predict_proba(tiny.graph))


@pytest.mark.parametrize("changed", [{"n_layers": 3}, {"hidden_dim": 16}, {"backbone": "mlp"}])
def test_parameters_set_after_fit_do_not_change_the_fitted_model(tiny, changed):
    clf = GNNNodeClassifier(hidden_dim=4, max_iter=3, random_state=0, device="cpu")
    expected = clf.fit(tiny.graph, tiny.y).predict_proba(tiny.graph)
    clf.set_params(**changed)
    np.testing.assert_array_equal(clf.predict_proba(tiny.graph), expected)
    travelled = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(travelled.predict_proba(tiny.graph), expected)


def test_a_series_with_positions_for_integer_names_is_refused(tiny):
    graph = Graph(tiny.graph.adjacency, tiny.graph.X, node_names=range(len(tiny.y)))
    nodes = np.arange(1, 30)
    clf = GNNNodeClassifier(hidden_dim=4, max_iter=2, random_state=0, device="cpu")
    with pytest.raises(ValueError, match=r"ambiguous.*graph\.node_names.*to_numpy"):
        clf.fit(graph[nodes], pd.Series(tiny.y[nodes]))
    named = clf.fit(graph[nodes], pd.Series(tiny.y[nodes], index=nodes)).predict_proba(graph)
    by_position = clf.fit(graph[nodes], tiny.y[nodes]).predict_proba(graph)
    np.testing.assert_array_equal(named, by_position)


def test_a_default_index_on_integer_names_in_another_order_is_refused(tiny):
    n = len(tiny.y)
    graph = Graph(tiny.graph.adjacency, tiny.graph.X, node_names=range(n)[::-1])
    clf = GNNNodeClassifier(hidden_dim=4, max_iter=2, random_state=0, device="cpu")
    y = pd.Series(tiny.y)
    with pytest.raises(ValueError, match=r"ambiguous.*to_dict\(\).*to_numpy\(\)"):
        clf.fit(graph, y)
    by_name = clf.fit(graph, y.to_dict()).predict_proba(graph)
    backwards = clf.fit(graph, tiny.y[::-1]).predict_proba(graph)
    np.testing.assert_array_equal(by_name, backwards)


def test_a_feature_that_drowns_the_others_is_named(tiny):
    people = pd.DataFrame(tiny.graph.X, columns=[f"x{i}" for i in range(tiny.graph.shape[1])])
    graph = tiny.graph.with_features(people.assign(x1=1000 * people["x1"]))
    clf = GNNNodeClassifier(hidden_dim=4, max_iter=2, random_state=0, device="cpu")
    with pytest.warns(UserWarning, match=r"'x1' makes up 100\.0 %.*NodeFeatures"):
        clf.fit(graph, tiny.y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_pipeline(NodeFeatures(StandardScaler()), clf).fit(graph, tiny.y)


class HalfFrozen(torch.nn.Module):
    """A module of the user's with a layer that must not be trained."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.fixed = torch.nn.Linear(n_features, 8).requires_grad_(False)
        self.free = torch.nn.Linear(8, n_classes)
        torch.nn.init.constant_(self.fixed.weight, 0.1)

    def forward(self, x, edge_index):
        return self.free(self.fixed(x).relu())


@pytest.mark.parametrize("cls", [GNNNodeClassifier, LTDNodeClassifier])
def test_frozen_parameters_of_a_module_stay(tiny, cls):
    settings = {"max_iter": 6, "random_state": 0, "device": "cpu"}
    if cls is LTDNodeClassifier:
        settings |= {"warmup_iter": 2, "teacher": "mlp"}
    clf = cls(backbone=HalfFrozen, **settings).fit(tiny.graph, tiny.y)
    (weight,) = (a for name, a in clf.state_.items() if name.endswith("fixed.weight"))
    np.testing.assert_array_equal(weight, np.full_like(weight, 0.1))


def test_without_stop_nodes_the_history_has_no_stop_figures(tiny):
    clf = GNNNodeClassifier(max_iter=3, validation_fraction=0, random_state=0, device="cpu")
    assert set(clf.fit(tiny.graph, tiny.y).history_[0]) == {"loss"}
