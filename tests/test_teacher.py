"""Every kind of teacher: who is fitted on what, who is warned of, what comes out."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted

from sklearn_ltd import GNNNodeClassifier, Graph, KNNGraph, LTDNodeClassifier, NodeFeatures
from sklearn_ltd._teacher import takes_graph
from sklearn_ltd.model_selection import assign_roles

pytestmark = pytest.mark.usefixtures("global_rng_untouched")

SMALL = {"hidden_dim": 8, "max_iter": 3, "device": "cpu"}
NAMES = np.array(["ant", "bee", "cat"])
WARNING = r"^the teacher is .*has seen.*scores are too good.*labels of each fit only"


def gnn(backbone="gcn", **params):
    return GNNNodeClassifier(backbone, **SMALL | params)


def forest():
    return RandomForestClassifier(5, max_depth=3)


def ltd(teacher, **params):
    return LTDNodeClassifier(
        teacher, **{"warmup_iter": 1, "random_state": 0, "n_iter_no_change": 5} | SMALL | params
    )


def fit_quietly(clf, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=WARNING)
        return clf.fit(*args, **kwargs)


def test_a_teacher_whose_classes_are_in_another_order_is_named(graph, y, role):
    logits = 5 * np.eye(3)[(y + 1) % 3]
    with pytest.warns(UserWarning, match=r"right at 0 % of the labelled.*\[0, 1, 2\]"):
        ltd(logits).fit(graph, y, role=role)


def test_a_teacher_that_lacks_a_class_is_named(graph, y, role):
    teacher = FrozenEstimator(LogisticRegression().fit(graph.X[y > 0], y[y > 0]))
    with pytest.warns(UserWarning, match=r"does not know the classes \[0\]"):
        ltd(teacher).fit(graph, y, role=role)


@pytest.fixture
def role(tiny):
    return assign_roles(tiny.y, n_train=5, n_temperature=5, n_stop=3, random_state=0)


UNFITTED = {
    "GNN": lambda: gnn("sage", dropout=0.1),
    "second generation": lambda: ltd(gnn(), random_state=None),
    "forest": forest,
    "logistic regression": LogisticRegression,
    "pipeline on the graph": lambda: make_pipeline(NodeFeatures(StandardScaler()), gnn()),
    "pipeline on features": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "pipeline from features to a graph": lambda: make_pipeline(KNNGraph(3), gnn()),
    "search of a forest": lambda: GridSearchCV(forest(), {"max_depth": [1, 3]}, cv=2),
    "search of a GNN": lambda: GridSearchCV(gnn(), {"hidden_dim": [4, 8]}, cv=2),
    "calibrated SVM": lambda: CalibratedClassifierCV(LinearSVC(), cv=2),
    "one against the rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "vote of GNNs": lambda: VotingClassifier([("a", gnn()), ("b", gnn("gat"))], voting="soft"),
    "stack of forests": lambda: StackingClassifier([("a", forest()), ("b", GaussianNB())], cv=2),
}
unfitted = pytest.mark.parametrize("make", UNFITTED.values(), ids=UNFITTED.keys())


class Propagation(torch.nn.Module):
    """Called as ``module(x, edge_index)``; its dropout must be off."""

    def __init__(self, n_features=12, n_classes=3):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.linear = torch.nn.Linear(n_features, n_classes)

    def forward(self, x, edge_index):
        h = self.linear(torch.nn.functional.dropout(x, 0.5, self.training))
        return h.index_add(0, edge_index[1], h[edge_index[0]])


def module_logits(graph):
    A = graph.adjacency
    with torch.no_grad():
        h = Propagation().linear(torch.from_numpy(graph.X)).numpy()
    return h + A.T @ h


FITTED = {
    "forest": lambda graph, y: forest().set_params(random_state=0).fit(graph.X, y),
    "GNN": lambda graph, y: gnn(random_state=0).fit(graph, y),
    "second generation": lambda graph, y: ltd(gnn()).fit(graph, y),
    "frozen GNN": lambda graph, y: FrozenEstimator(gnn(random_state=0).fit(graph, y)),
    "frozen forest": lambda graph, y: FrozenEstimator(
        forest().set_params(random_state=0).fit(graph.X, y)
    ),
    "search": lambda graph, y: GridSearchCV(gnn(random_state=0), {"hidden_dim": [4]}, cv=2).fit(
        graph, y
    ),
    "module": lambda graph, y: Propagation(),
    "array": lambda graph, y: module_logits(graph),
    "integers": lambda graph, y: 3 * np.eye(3, dtype=int)[y],
    "tensor": lambda graph, y: torch.tensor(module_logits(graph), requires_grad=True),
    "list": lambda graph, y: module_logits(graph).tolist(),
}
fitted = pytest.mark.parametrize("make", FITTED.values(), ids=FITTED.keys())


def leak_warnings(caught):
    return [w for w in caught if issubclass(w.category, UserWarning) and "teacher" in str(w)]


# Unfitted teachers


@unfitted
def test_unfitted_teacher_is_cloned_and_fitted(make, graph, y):
    teacher = make()
    clf = ltd(teacher)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(graph[:60], y[:60])
    assert leak_warnings(caught) == []
    assert type(clf.teacher_) is type(teacher)
    assert clf.teacher_ is not teacher
    assert clf.teacher is teacher
    check_is_fitted(clf.teacher_)
    with pytest.raises(NotFittedError):
        check_is_fitted(teacher)
    data = graph if takes_graph(teacher) else graph.X
    proba = clf.teacher_.predict_proba(data)
    np.testing.assert_allclose(clf.teacher_proba_, proba, atol=1e-5)
    np.testing.assert_allclose(clf.teacher_proba_.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(clf.predict_proba(graph).sum(axis=1), 1)


class Silent(LogisticRegression):
    def predict_proba(self, X):
        raise RuntimeError("out of luck")


def test_error_of_a_teacher_names_it(graph, y):
    with pytest.raises(RuntimeError) as caught:
        ltd(Silent()).fit(graph, y)
    assert "Silent()" in caught.value.__notes__[0]
    clf = LTDNodeClassifier("appnp", batch_size=10, scalable=True, random_state=0)
    with pytest.raises(ValueError, match="appnp") as caught:
        clf.fit(graph, y)
    assert "GNNNodeClassifier(backbone='appnp', batch_size=10" in caught.value.__notes__[0]


@unfitted
def test_unfitted_teacher_repeats_with_the_seed(make, graph, y):
    one, other = ltd(make()).fit(graph, y), ltd(make()).fit(graph, y)
    assert np.array_equal(one.teacher_proba_, other.teacher_proba_)
    assert np.array_equal(one.predict_proba(graph), other.predict_proba(graph))


@unfitted
def test_unfitted_teacher_of_string_labels(make, graph, y):
    clf = ltd(make()).fit(graph, NAMES[y])
    assert clf.teacher_.classes_.tolist() == NAMES.tolist()
    plain = ltd(make()).fit(graph, y)
    np.testing.assert_allclose(clf.teacher_proba_, plain.teacher_proba_, atol=1e-6)
    assert (clf.predict(graph) == NAMES[plain.predict(graph)]).all()


def test_no_teacher_is_the_students_own_architecture(graph, y):
    expected = {"backbone": "sage", "hidden_dim": 5, "dropout": 0.2, "n_layers": 3}
    expected["class_weight"] = "balanced"
    clf = ltd(None, **expected).fit(graph, y)
    assert isinstance(clf.teacher_, GNNNodeClassifier)
    assert clf.teacher_.get_params() | expected == clf.teacher_.get_params()
    assert np.allclose(clf.teacher_.predict_proba(graph), clf.teacher_proba_, atol=1e-6)


@pytest.mark.parametrize("name", ["gat", "sgc", "mlp"])
def test_teacher_by_name_of_its_backbone(name, graph, y):
    clf = ltd(name, backbone="mlp").fit(graph, y)
    assert clf.teacher_.backbone == name
    assert clf.backbone == "mlp"
    assert np.allclose(clf.teacher_.predict_proba(graph), clf.teacher_proba_, atol=1e-6)


@pytest.mark.parametrize("make", [forest, LogisticRegression])
def test_teacher_of_sparse_features_gets_them_sparse(make, graph, y):
    seen = []

    class Spy(type(make())):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    sparse = Graph(graph.adjacency, sp.csr_array(np.where(graph.X > 0.5, graph.X, 0)))
    clf = ltd(Spy()).fit(sparse, y)
    assert sp.issparse(seen[0])
    np.testing.assert_allclose(clf.teacher_proba_, clf.teacher_.predict_proba(sparse.X), atol=1e-5)


def test_teacher_of_features_on_a_graph_without_them(graph, y):
    clf = ltd(forest()).fit(Graph(graph.adjacency), y)
    assert clf.teacher_.n_features_in_ == clf.n_features_in_


def test_teachers_own_seed_is_kept(graph, y):
    clf = ltd(forest().set_params(random_state=7)).fit(graph, y)
    assert clf.teacher_.random_state == 7
    unseeded = ltd(gnn(), random_state=3).fit(graph, y).teacher_.random_state
    assert isinstance(unseeded, int)


def test_distilling_from_an_oracle_beats_distilling_from_noise(graph, y):
    few = np.concatenate([np.flatnonzero(y == c)[:3] for c in range(3)])
    oracle = 5.0 * np.eye(3)[y]
    noise = np.random.RandomState(0).permutation(oracle)
    plain = {"dropout": 0.0, "weight_decay": 0.0, "validation_fraction": 0}
    scores = [
        fit_quietly(
            ltd(t, backbone="mlp", max_iter=40, learning_rate=0.1, temperature=1.0, **plain),
            graph[few],
            y[few],
        ).score(graph, y)
        for t in (oracle, noise)
    ]
    assert scores[0] > scores[1] + 0.2


# What a teacher may see


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers what it was fitted on, in a list that clones share."""

    calls = []

    def __init__(self, on_graph=False):
        self.on_graph = on_graph

    def fit(self, X, y):
        self.calls.append((X, y))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X.nodes) if self.on_graph else X.shape[0], len(self.classes_)), 0.5)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = not self.on_graph
        return tags


@pytest.fixture
def recorder():
    Recorder.calls.clear()
    yield Recorder
    Recorder.calls.clear()


def test_teacher_on_features_sees_train_and_temperature_nodes_only(recorder, graph, y, role):
    ltd(recorder()).fit(graph, y, role=role)
    ((X, labels),) = recorder.calls
    seen = np.flatnonzero((role == "train") | (role == "temperature"))
    assert np.array_equal(X, graph.X[seen])
    assert np.array_equal(labels, y[seen])


def test_teacher_on_the_graph_sees_train_and_temperature_labels_only(recorder, graph, y, role):
    ltd(recorder(on_graph=True)).fit(graph, NAMES[y], role=role)
    ((view, labels),) = recorder.calls
    seen = np.flatnonzero((role == "train") | (role == "temperature"))
    assert isinstance(view, Graph)
    assert view.n_nodes == 80
    assert np.array_equal(view.nodes, seen)
    assert np.array_equal(labels, NAMES[y[seen]])


def test_teacher_sees_no_label_outside_the_view(recorder, graph, y):
    few = np.r_[0:30]
    ltd(recorder()).fit(graph[few], y[few])
    ((X, labels),) = recorder.calls
    rows = {row.tobytes() for row in graph.X[few]}
    assert {row.tobytes() for row in X} < rows
    assert len(labels) == len(X) < 30


def test_node_classifier_as_teacher_gets_the_roles(graph, y, role, monkeypatch):
    calls = []
    fit = GNNNodeClassifier.fit

    def recording_fit(self, graph, y, labeled_mask=None, *, role=None):
        calls.append((graph.nodes, y, role))
        return fit(self, graph, y, labeled_mask, role=role)

    monkeypatch.setattr(GNNNodeClassifier, "fit", recording_fit)
    ltd(gnn()).fit(graph, y, role=role)
    ((nodes, labels, roles),) = calls
    assert np.array_equal(nodes, np.flatnonzero(role != ""))
    assert np.array_equal(labels, y[nodes])
    assert np.array_equal(roles, role[nodes])


def test_stop_labels_only_stop_a_node_classifier(graph, y, role):
    teacher = gnn()
    changed = y.copy()
    stop = np.flatnonzero(role == "stop")
    changed[stop] = (y[stop] + 1) % 3
    one = ltd(teacher).fit(graph, y, role=role).teacher_
    other = ltd(teacher).fit(graph, changed, role=role).teacher_
    epochs = min(one.n_iter_, other.n_iter_)
    losses = [[record["loss"] for record in t.history_[:epochs]] for t in (one, other)]
    assert losses[0] == losses[1]
    assert one.history_ != other.history_


@unfitted
def test_no_teacher_leaks_labels_outside_the_roles(make, graph, y, role):
    garbled = y.copy()
    hidden = np.flatnonzero(role == "")
    garbled[hidden] = np.random.RandomState(3).choice([-1, 0, 1, 2, 99], len(hidden))
    one = ltd(make()).fit(graph, y, role=role)
    other = ltd(make()).fit(graph, garbled, role=role)
    assert np.array_equal(one.teacher_proba_, other.teacher_proba_)
    assert np.array_equal(one.predict_proba(graph), other.predict_proba(graph))


# Teachers that are fitted already


@fitted
def test_fitted_teacher_is_used_as_it_is(make, graph, y):
    teacher = make(graph, y)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        clf = ltd(teacher).fit(graph[:60], y[:60])
    assert len(leak_warnings(caught)) == 1
    assert leak_warnings(caught)[0].filename == __file__
    if hasattr(teacher, "predict_proba"):
        data = graph if takes_graph(teacher) else graph.X
        expected = teacher.predict_proba(data)
        check_is_fitted(clf.teacher_)
    elif isinstance(teacher, torch.nn.Module):
        expected = softmax(module_logits(graph), axis=1)
        assert clf.teacher_ is None
    else:
        logits = teacher.detach().numpy() if torch.is_tensor(teacher) else np.asarray(teacher)
        expected = softmax(logits, axis=1)
        assert clf.teacher_ is None
    np.testing.assert_allclose(clf.teacher_proba_, expected, atol=1e-5)
    np.testing.assert_allclose(clf.teacher_proba_.sum(axis=1), 1, atol=1e-6)


@fitted
def test_fitted_teacher_is_left_alone(make, graph, y):
    teacher = make(graph, y)
    clf = ltd(teacher)
    if isinstance(teacher, torch.nn.Module):
        teacher.train()
        before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
        fit_quietly(clf, graph, y)
        assert teacher.training
        assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    elif hasattr(teacher, "predict_proba"):
        data = graph if takes_graph(teacher) else graph.X
        before = teacher.predict_proba(data)
        fit_quietly(clf, graph[:50], (y[:50] + 1) % 3)
        assert np.array_equal(teacher.predict_proba(data), before)
    else:
        before = teacher.tolist() if hasattr(teacher, "tolist") else copy.deepcopy(teacher)
        fit_quietly(clf, graph, y)
        after = teacher.tolist() if hasattr(teacher, "tolist") else teacher
        assert after == before
    assert clf.teacher is teacher


def test_read_only_logits_are_fine(graph, y):
    logits = module_logits(graph).astype(np.float32)
    logits.flags.writeable = False
    assert fit_quietly(ltd(logits), graph, y).predict(graph).shape == (80,)


def test_cloning_unfits_a_teacher_unless_it_is_frozen(graph, y):
    teacher = forest().set_params(random_state=0).fit(graph.X, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=WARNING)
        clone(ltd(teacher)).fit(graph, y)
    with pytest.warns(UserWarning, match=WARNING):
        clone(ltd(FrozenEstimator(teacher))).fit(graph, y)


def test_fitted_teacher_of_some_of_the_classes(graph, y):
    nodes = np.flatnonzero(y > 0)
    teacher = GaussianNB().fit(graph.X[nodes], NAMES[y[nodes]])
    clf = fit_quietly(ltd(teacher), graph, NAMES[y])
    np.testing.assert_allclose(clf.teacher_proba_[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(clf.teacher_proba_[:, 1:], teacher.predict_proba(graph.X), atol=1e-5)


def test_columns_of_a_fitted_teacher_are_matched_by_class(graph, y):
    teacher = GaussianNB().fit(graph.X, NAMES[y])
    teacher.classes_ = teacher.classes_[::-1]
    clf = fit_quietly(ltd(teacher), graph, NAMES[y])
    np.testing.assert_allclose(
        clf.teacher_proba_, teacher.predict_proba(graph.X)[:, ::-1], atol=1e-5
    )


# Searching the teacher's parameters


def test_teachers_parameters_are_nested(graph, y):
    clf = ltd(gnn()).set_params(teacher__hidden_dim=4, teacher__backbone="sage")
    clf.fit(graph, y)
    assert clf.teacher_.transform(graph).shape == (80, 4)
    assert clf.teacher_.backbone == "sage"
    assert clf.transform(graph).shape == (80, 8)


def test_teacher_is_searched_along_with_the_student(graph, y):
    grid = {"teacher__hidden_dim": [4, 6], "backbone": ["gcn", "mlp"]}
    search = GridSearchCV(ltd(gnn()), grid, cv=2, error_score="raise").fit(graph, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best.teacher_.hidden_dim == search.best_params_["teacher__hidden_dim"]
    assert search.predict(graph).shape == (80,)


def test_teacher_itself_is_searched(graph, y):
    search = GridSearchCV(
        ltd(None), {"teacher": [gnn("mlp"), gnn(), forest()]}, cv=2, error_score="raise"
    )
    search.fit(graph, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_unfitted_teacher_does_not_know_random_labels_held_out(graph):
    y = np.random.RandomState(0).randint(2, size=80)
    clf = ltd(RandomForestClassifier(20), max_iter=15)
    assert cross_val_score(clf, graph, y, cv=4).mean() < 0.7


# Which teachers take the graph


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (gnn(), True),
        (ltd(None), True),
        (FrozenEstimator(gnn()), True),
        (make_pipeline(NodeFeatures(StandardScaler()), gnn()), True),
        (
            make_pipeline(NodeFeatures(StandardScaler()), NodeFeatures(StandardScaler()), gnn()),
            True,
        ),
        (GridSearchCV(gnn(), {}), True),
        (GridSearchCV(make_pipeline(NodeFeatures(StandardScaler()), gnn()), {}), True),
        (CalibratedClassifierCV(gnn()), True),
        (OneVsRestClassifier(gnn()), True),
        (VotingClassifier([("a", gnn())]), True),
        (StackingClassifier([("a", gnn())]), True),
        (make_pipeline("passthrough", gnn()), True),
        (make_pipeline(KNNGraph(), gnn()), False),
        (forest(), False),
        (LogisticRegression(), False),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (make_pipeline("passthrough", LogisticRegression()), False),
        (GridSearchCV(forest(), {}), False),
        (GridSearchCV(make_pipeline(KNNGraph(), gnn()), {}), False),
        (CalibratedClassifierCV(LinearSVC()), False),
        (CalibratedClassifierCV(), False),
        (VotingClassifier([("a", forest())]), False),
        (StackingClassifier([("a", forest())]), False),
        (FrozenEstimator(forest()), False),
    ],
)
def test_which_estimators_take_the_graph(estimator, expected):
    assert takes_graph(estimator) is expected


def test_an_array_of_probabilities_is_not_taken_for_logits(graph, y):
    proba = np.full((len(y), len(np.unique(y))), 1 / len(np.unique(y)))
    with pytest.raises(ValueError, match=r"probabilities.*np\.log"):
        fit_quietly(ltd(proba), graph, y)


@pytest.mark.parametrize(
    "teacher",
    [
        None,
        "gat",
        GNNNodeClassifier(hidden_dim=4),
        RandomForestClassifier(n_estimators=3),
        FrozenEstimator(RandomForestClassifier(n_estimators=3)),
        torch.nn.Linear(2, 3),
        np.zeros((5, 3)),
    ],
    ids=["none", "name", "gnn", "forest", "frozen", "module", "array"],
)
def test_every_kind_of_teacher_survives_the_round_trip_of_parameters(teacher):
    clf = LTDNodeClassifier(teacher, max_iter=7)
    params = clf.get_params(deep=False)
    assert params["teacher"] is teacher
    copy = clone(clf)
    assert type(copy.teacher) is type(teacher)
    assert copy.get_params(deep=False).keys() == params.keys()
    again = LTDNodeClassifier().set_params(**params)
    assert again.teacher is teacher
    assert again.max_iter == 7


@pytest.mark.parametrize("student", [{"temperature": 1.0}, {"scalable": True}])
def test_a_student_with_given_temperatures_of_a_teacher_that_learns_them(student, graph, y):
    teacher = LTDNodeClassifier(gnn(), **SMALL)
    clf = ltd(teacher, **student).fit(graph, y)
    assert clf.teacher_.temperatures_.shape == (graph.n_nodes,)


def test_a_teacher_that_chooses_features_by_name(graph, y):
    names = [f"c{i}" for i in range(graph.shape[1])]
    chosen = make_column_transformer((StandardScaler(), ["c0", "c3"]))
    forest = make_pipeline(chosen, RandomForestClassifier(5, random_state=0))
    with_names = graph.with_features(graph.X, names)
    clf = ltd(forest).fit(with_names, y)
    assert list(clf.teacher_.feature_names_in_) == names
    expected = clf.teacher_.predict_proba(pd.DataFrame(graph.X, columns=names))
    np.testing.assert_allclose(clf.teacher_proba_, expected, atol=1e-6)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="X has feature names")
        bare = RandomForestClassifier(5, random_state=0).fit(graph.X, y)
        fit_quietly(ltd(FrozenEstimator(bare)), with_names, y)


@pytest.mark.parametrize("named", [True, False])
def test_a_teacher_that_works_in_place_leaves_the_graph_alone(named, graph, y):
    own = graph.with_features(graph.X.copy(), range(graph.shape[1]) if named else None)
    ltd(make_pipeline(StandardScaler(copy=False), LogisticRegression())).fit(own, y)
    np.testing.assert_array_equal(own.X, graph.X)


class FirstColumns(ClassifierMixin, BaseEstimator):
    """Chooses columns by name, and remembers none."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression().fit(X[["a", "b"]].to_numpy(), y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X[["a", "b"]].to_numpy())


def test_a_teacher_is_asked_with_what_it_was_fitted_on(graph, y):
    own = Graph(graph.adjacency, pd.DataFrame(graph.X[:, :3], columns=["a", "b", "c"]))
    ltd(FirstColumns()).fit(own, y)


def test_a_module_inside_inference_mode(graph, y):
    module = GNNNodeClassifier("sage", **SMALL, random_state=0).fit(graph, y).to_module()
    fresh = Graph(graph.adjacency, graph.X)
    with torch.inference_mode():
        fit_quietly(ltd(module, backbone="sage"), fresh, y)
    fit_quietly(ltd(module, backbone="sage"), fresh, y)
