"""The teacher adapted: a second opinion, calibration, class frequencies, and reliability."""

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits
from torch_geometric.utils import from_scipy_sparse_matrix

from sklearn_ltd import Graph, LTDNodeClassifier, _adapt
from sklearn_ltd._adapt import (
    calibrate,
    calibrate_student,
    class_bias,
    class_frequencies,
    reliability,
    second_opinion,
    usable_frequencies,
)
from sklearn_ltd._distill import distillation_loss, soft_targets
from sklearn_ltd._labels import Labels
from sklearn_ltd.datasets import make_attributed_sbm
from sklearn_ltd.model_selection import assign_roles

EQUAL = np.ones(3)


def _labels(train, stop=(), n=1000):
    """Labels of the first nodes, by role."""
    codes = np.full(n, -1)
    codes[: len(train) + len(stop)] = [*train, *stop]
    nodes = {"train": np.arange(len(train)), "temperature": np.empty(0, int)}
    return Labels(codes, nodes | {"stop": len(train) + np.arange(len(stop))})


def _true_logits(n, rng):
    """Logits of a calibrated classifier, and labels drawn from its probabilities."""
    logits = 2 * rng.normal(size=(n, 3))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.uniform(size=(n, 1)) > cumulated).sum(axis=1)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_calibration_undoes_a_scale(scale):
    logits, y = _true_logits(5000, np.random.RandomState(0))
    nodes = np.arange(4000)
    calibrated = calibrate((scale * logits).astype(np.float32), nodes, y[nodes], EQUAL, EQUAL)
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated, logits, rtol=0.1)


def test_a_teacher_that_knows_nothing_is_left_with_the_frequencies_of_its_labels():
    rng = np.random.RandomState(0)
    prior = np.array([0.8, 0.15, 0.05])
    y = rng.choice(3, 2000, p=prior)
    logits = np.log(prior) + 3 * rng.normal(size=(2000, 3))  # certain of what it does not know
    calibrated = calibrate(logits, np.arange(1000), y[:1000], EQUAL, prior)
    np.testing.assert_allclose(class_frequencies(calibrated), prior, atol=0.03)
    assert (calibrated.argmax(axis=1) == 0).mean() > 0.97


def test_random_labels_of_unequal_classes_are_not_made_worse(tiny):
    """What the features say of them is chance: the largest class is all there is to predict."""
    y = np.random.RandomState(0).choice(3, 80, p=[0.75, 0.15, 0.1])
    forest = RandomForestClassifier(20, random_state=0)
    clf = LTDNodeClassifier(forest, max_iter=60, random_state=0).fit(tiny.graph, y)
    assert clf.class_prior_.argmax() == 0
    assert clf.class_prior_[0] > 0.6
    assert (clf.transduction_ == 0).mean() > 0.7


def test_calibration_lowers_the_loss_on_other_nodes():
    logits, y = _true_logits(1000, np.random.RandomState(0))
    calibrated = calibrate(6 * logits, np.arange(60), y[:60], EQUAL, EQUAL)
    before, after = (softmax(z[60:], axis=1) for z in (6 * logits, calibrated))
    assert log_loss(y[60:], after) < log_loss(y[60:], before) - 0.5


def test_few_or_no_labels_leave_the_teacher_nearly_as_it_is():
    logits, y = _true_logits(10, np.random.RandomState(0))
    none = np.empty(0, int)
    assert np.array_equal(calibrate(logits, none, y[none], EQUAL, EQUAL), logits)
    right = logits.argmax(axis=1)[:2]  # both right: without a prior infinitely sharp
    ratio = (calibrate(logits, np.arange(2), right, EQUAL, EQUAL) / logits).mean()
    assert 1 < ratio < 3


def test_calibration_weights_the_classes():
    logits, y = _true_logits(30, np.random.RandomState(0))
    nodes = np.arange(30)
    twice = np.r_[nodes, nodes[y == 0]]
    repeated = calibrate(logits, twice, y[twice], EQUAL, EQUAL)
    weighted = calibrate(logits, nodes, y, np.array([2.0, 1, 1]), EQUAL)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)


def _two_experts(n, rng):
    """Logits of two independent calibrated classifiers of the same three classes."""
    y = rng.randint(3, size=n)
    first, second = (2 * np.eye(3)[y] + rng.normal(size=(n, 3)) for _ in range(2))
    return log_softmax(2 * first, axis=1), log_softmax(2 * second, axis=1), y


def test_independent_opinions_are_pooled():
    logits, opinion, y = _two_experts(3000, np.random.RandomState(0))
    pooled = calibrate(logits, np.arange(500), y[:500], EQUAL, EQUAL, opinion)
    evidence = logits + opinion  # adds up, by Bayes
    np.testing.assert_allclose(pooled, evidence, rtol=0.2, atol=1)
    right = (pooled.argmax(axis=1) == y).mean()
    assert right > max((rows.argmax(axis=1) == y).mean() for rows in (logits, opinion)) + 0.03


def test_an_opinion_that_is_always_wrong_is_not_heard():
    logits, opinion, y = _two_experts(500, np.random.RandomState(0))
    alone = calibrate(logits, np.arange(100), y[:100], EQUAL, EQUAL)
    pooled = calibrate(logits, np.arange(100), y[:100], EQUAL, EQUAL, -opinion)
    np.testing.assert_allclose(pooled, alone, rtol=1e-3, atol=1e-3)


def test_an_opinion_that_is_worth_nothing_is_hardly_heard():
    shares = []
    for seed in range(10):
        logits, _, y = _two_experts(500, np.random.RandomState(seed))
        _, opinion, _ = _two_experts(500, np.random.RandomState(100 + seed))
        seen = np.arange(100)
        alone = calibrate(logits, seen, y[seen], EQUAL, EQUAL)
        pooled = calibrate(logits, seen, y[seen], EQUAL, EQUAL, opinion)
        shares.append((alone.argmax(axis=1) == pooled.argmax(axis=1)).mean())
    assert np.mean(shares) > 0.97


def test_the_second_opinion_is_finite_where_it_is_certain():
    rng = np.random.RandomState(0)
    y = np.arange(3000) % 2
    X = (1 + 0.01 * rng.normal(size=(3000, 20))).astype(np.float32)
    X[:, 0] += 0.3 * y
    X[:5] = 1e6 * np.eye(20)[0]
    assert np.isfinite(second_opinion(X, np.arange(1000), y[:1000])).all()


def test_features_of_any_size_give_the_same_opinion():
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 5)) + y[:, None]
    X[3] = 0
    expected = second_opinion(X, np.arange(50), y[:50])
    for unit in (2.0**-40, 2.0**40):
        assert np.array_equal(second_opinion(unit * X, np.arange(50), y[:50]), expected)


@pytest.mark.parametrize("convert", [np.asarray, csr_array])
def test_the_second_opinion_reads_features_as_if_classes_were_alike(convert):
    rng = np.random.RandomState(0)
    y = rng.choice(2, 2000, p=[0.9, 0.1])
    X = convert(np.abs(3 * np.eye(2)[y] + rng.normal(size=(2000, 2))))
    log_proba = second_opinion(X, np.arange(300), y[:300])
    assert log_proba.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_proba).sum(axis=1), 1, rtol=1e-5)
    right = log_proba.argmax(axis=1) == y
    assert min(right[y == 0].mean(), right[y == 1].mean()) > 0.8


def test_the_second_opinion_of_many_labels_knows_every_class(monkeypatch):
    rng = np.random.RandomState(0)
    y = np.r_[np.zeros(300, int), np.ones(300, int), 2]
    X = np.eye(3)[y] + 0.01 * rng.normal(size=(601, 3))
    whole = second_opinion(X, np.arange(601), y)
    monkeypatch.setattr(_adapt, "_ROWS", 100)
    part = second_opinion(X, np.arange(601), y)
    assert part.shape == (601, 3)
    assert np.array_equal(part.argmax(axis=1), whole.argmax(axis=1))


def test_reliability_tells_where_the_teacher_is_right():
    logits, opinion, y = _two_experts(3000, np.random.RandomState(0))
    around = softmax(0.5 * opinion, axis=1)
    right = logits.argmax(axis=1) == y
    seen = np.arange(300)
    alone = reliability(logits, np.full_like(around, 1 / 3), None, seen, y[seen], EQUAL)
    found = reliability(logits, around, opinion, seen, y[seen], EQUAL)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[300:].mean() == pytest.approx(right[300:].mean(), abs=0.05)
    assert roc_auc_score(right[300:], alone[300:]) > 0.7
    assert roc_auc_score(right[300:], found[300:]) > roc_auc_score(right[300:], alone[300:])


def test_reliability_of_a_teacher_that_is_always_or_never_right_is_even():
    logits, opinion, _ = _two_experts(50, np.random.RandomState(0))
    seen, classes = np.arange(20), logits.argmax(axis=1)[:20]
    for y in (classes, (classes + 1) % 3):
        found = reliability(logits, softmax(logits, axis=1), opinion, seen, y, EQUAL)
        assert (found == 1).all()
    none = np.empty(0, int)
    assert (reliability(logits, softmax(logits, axis=1), None, none, none, EQUAL) == 1).all()


def test_a_node_of_no_weight_is_not_imitated():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, requires_grad=True)
    weights = torch.tensor([0.0, 1.0, 2.0, 1.0])
    targets = soft_targets(torch.randn(4, 3), torch.ones(4), weights)
    loss = distillation_loss(logits, targets, [0], torch.tensor([1]), label_weight=0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[0] == 0).all()
    expected = weights[1:, None] * logits[1:].softmax(1) - targets[1:]
    torch.testing.assert_close(gradient[1:], expected.detach() / 4)


def test_frequencies_are_those_of_labels_that_are_drawn_from_the_graph():
    logits, y = _true_logits(20000, np.random.RandomState(0))
    found = usable_frequencies(class_frequencies(logits), _labels(y[:3000], n=20000))
    np.testing.assert_allclose(found, np.bincount(y) / len(y), atol=0.02)


def test_a_class_that_the_teacher_does_not_know_keeps_its_frequency():
    logits, _ = _true_logits(1000, np.random.RandomState(0))
    logits[:, 2] = -1e4
    estimated = class_frequencies(logits)
    assert estimated.sum() == pytest.approx(1)
    found = usable_frequencies(estimated, _labels([0, 1, 2, 2], stop=[2]))
    assert found[2] == 0.6
    assert found[:2] == pytest.approx([0.5, 0.5], abs=0.05)


def test_labels_of_every_role_stand_for_the_graph():
    labels = _labels([0, 0, 1, 2], stop=[0, 1, 1, 1])
    assert labels.weights("train", device="cpu") is None
    labels.class_prior = np.array([0.5, 0.3, 0.2])
    assert labels.weights("train", device="cpu").tolist() == pytest.approx([1, 1.2, 0.8])
    stop = labels.weights("stop", device="cpu").tolist()
    assert stop == pytest.approx([2, 0.4, 1])  # none of class 2


def test_frequencies_show_a_shift():
    # Learned from classes of one size, seen on nodes of which 80 % are of class 0: by Bayes.
    rng = np.random.RandomState(0)
    y = rng.choice(3, 5000, p=[0.8, 0.1, 0.1])
    x = 2 * np.eye(3)[y] + rng.normal(size=(5000, 3))
    balanced = log_softmax(2 * x, axis=1)  # log-likelihood ratios of the three Gaussians
    labels = _labels(np.repeat([0, 1, 2], 20), n=5000)
    ratio = labels.ratio(usable_frequencies(class_frequencies(balanced), labels), "train")
    assert 1.8 < ratio[0] < 2.4  # one step of the way to 0.8 / (1 / 3) = 2.4
    assert ratio[1:] == pytest.approx([0.45, 0.45], abs=0.15)
    right = (balanced.argmax(axis=1) == y).mean()
    assert ((balanced + np.log(ratio)).argmax(axis=1) == y).mean() > right + 0.02


def make_unequal(seed):
    """A noisy graph whose classes are of very unequal sizes, and balanced roles."""
    data = make_attributed_sbm(1600, 3, average_degree=4, feature_noise=6.0, random_state=seed)
    kept = np.concatenate([np.flatnonzero(data.y == c)[:n] for c, n in enumerate((500, 150, 60))])
    graph, y = data.graph[np.sort(kept)].induced(), data.y[np.sort(kept)]
    return graph, y, assign_roles(y, 10, 10, 5, random_state=0)


@pytest.fixture(scope="module")
def unequal():
    return make_unequal(0)


@pytest.mark.parametrize("params", [{}, {"scalable": True}, {"temperature": 0.5}])
def test_accuracy_on_unequal_classes_with_balanced_labels(params):
    gains = []
    for seed in range(4):
        graph, y, role = make_unequal(seed)
        test = role == ""
        adapted, plain = (
            LTDNodeClassifier(**params, adapt_teacher=adapt, random_state=0)
            .fit(graph, y, role=role)
            .score(graph[test], y[test])
            for adapt in (True, False)
        )
        gains.append(adapted - plain)
    assert np.mean(gains) > 0.005


def test_the_estimated_frequencies_are_nearer_to_the_truth_than_the_labels(unequal):
    graph, y, role = unequal
    clf = LTDNodeClassifier(max_iter=30, random_state=0).fit(graph, y, role=role)
    assert clf.class_prior_.sum() == pytest.approx(1)
    assert clf.reliability_.shape == y.shape
    assert 0 <= clf.reliability_.min() < clf.reliability_.max() <= 1
    true = np.bincount(y) / len(y)
    assert np.abs(clf.class_prior_ - true).max() < 0.75 * np.abs(1 / 3 - true).max()
    clf.set_params(adapt_teacher=False).fit(graph, y, role=role)
    assert clf.class_prior_ is None
    assert clf.reliability_ is None


def test_the_features_help_where_neighbours_mislead(monkeypatch):
    data = make_attributed_sbm(800, 4, homophily=0.25, random_state=0)
    role = assign_roles(data.y, 20, 20, 10, random_state=0)
    test = role == ""
    clf = LTDNodeClassifier(temperature=0.5, random_state=0)
    score = clf.fit(data.graph, data.y, role=role).score(data.graph[test], data.y[test])
    monkeypatch.setattr("sklearn_ltd._adapt.second_opinion", lambda *args: None)
    alone = clf.fit(data.graph, data.y, role=role).score(data.graph[test], data.y[test])
    assert score > alone + 0.02


def test_a_graph_without_features_has_no_second_opinion(unequal, monkeypatch):
    graph, y, role = unequal
    monkeypatch.setattr("sklearn_ltd._adapt.second_opinion", None)  # would fail if called
    clf = LTDNodeClassifier(max_iter=3, random_state=0).fit(Graph(graph.adjacency), y, role=role)
    assert len(clf.reliability_) == len(y)


@pytest.mark.parametrize("params", [{}, {"scalable": True}, {"temperature": 0.5}])
@pytest.mark.parametrize("refit", [True, False])
def test_doubtful_nodes_count_for_less(unequal, params, refit, monkeypatch):
    graph, y, role = unequal
    settings = {"max_iter": 4, "warmup_iter": 1, "hidden_dim": 8, "random_state": 0}
    clf = LTDNodeClassifier(**params, **settings, refit=refit).fit(graph, y, role=role)
    squares = clf.reliability_**2
    found = clf._target_weights(torch.device("cpu")).numpy()
    np.testing.assert_allclose(found, squares / squares.mean(), rtol=1e-5)
    weighted = clf.predict_proba(graph)
    ones = np.ones(len(y), np.float32)
    monkeypatch.setattr("sklearn_ltd._adapt.reliability", lambda *args: ones)
    alike = clf.fit(graph, y, role=role).predict_proba(graph)
    assert np.abs(weighted - alike).max() > 1e-4


def test_scikit_learns_output_setting_and_warnings_do_not_matter(unequal, recwarn):
    graph, y, role = unequal
    clf = LTDNodeClassifier(max_iter=2, temperature=0.5, random_state=0)
    expected = clf.fit(graph, y, role=role).predict_proba(graph)
    with config_context(transform_output="pandas"):
        found = clf.fit(graph, y, role=role).predict_proba(graph)
    assert np.array_equal(found, expected)
    assert not recwarn.list


def test_the_number_of_blas_threads_does_not_matter():
    data = make_attributed_sbm(1000, n_features=300, random_state=0)
    clf = LTDNodeClassifier(max_iter=2, temperature=0.5, random_state=0)
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            clf.fit(data.graph[:200], data.y[:200])
        found.append(clf.reliability_)
    assert np.array_equal(*found)


def test_class_weight_takes_the_place_of_the_correction(unequal):
    graph, y, role = unequal
    clf = LTDNodeClassifier(class_weight="balanced", max_iter=30, random_state=0)
    frequencies = np.bincount(clf.fit(graph, y, role=role).predict(graph)) / len(y)
    assert clf.class_prior_ is None
    assert clf.reliability_ is not None
    corrected = LTDNodeClassifier(max_iter=30, random_state=0).fit(graph, y, role=role)
    assert frequencies[2] > (corrected.predict(graph) == 2).mean()


def test_stop_labels_may_have_other_frequencies(unequal):
    graph, y, role = unequal
    rng = np.random.RandomState(0)
    scores = []
    for _ in range(3):
        drawn = np.where(role == "stop", "", role)  # as in Planetoid's splits
        drawn[rng.choice(np.flatnonzero(drawn == ""), 150, replace=False)] = "stop"
        test = drawn == ""
        for adapt in (True, False):
            clf = LTDNodeClassifier(temperature=0.5, adapt_teacher=adapt, random_state=0)
            scores.append(clf.fit(graph, y, role=drawn).score(graph[test], y[test]))
    assert np.mean(scores[::2]) > np.mean(scores[1::2]) - 0.01


@pytest.mark.parametrize("params", [{}, {"scalable": True}])
@pytest.mark.parametrize("unknown", [-1e4, -200.0])
def test_a_teacher_that_does_not_know_a_class(params, unknown):
    data = make_attributed_sbm(300, 3, random_state=0)
    logits = 5 * np.eye(3)[data.y]
    logits[:, 2] = unknown
    clf = LTDNodeClassifier(logits, **params, max_iter=60, random_state=0)
    with pytest.warns(UserWarning, match="array of logits"):
        clf.fit(data.graph[:60], data.y[:60])
    others = data.y[60:] < 2
    assert clf.score(data.graph[60:][others], data.y[60:][others]) > 0.8


def test_logits_of_another_type():
    class Double(torch.nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.linear = torch.nn.Linear(n_features, n_classes).double()

        def forward(self, x, edge_index):
            return self.linear(x.double())

    data = make_attributed_sbm(200, random_state=0)
    clf = LTDNodeClassifier("gcn", Double, temperature=0.5, max_iter=30, random_state=0)
    assert clf.fit(data.graph[:80], data.y[:80]).score(data.graph[80:], data.y[80:]) > 0.4


def test_a_modest_student_of_the_wrong_frequencies_is_calibrated():
    logits, y = _true_logits(5000, np.random.RandomState(0))
    wrong = np.array([1.0, 0.0, -1.0])
    student, nodes = logits / 3 + wrong, np.arange(3000)
    prior = np.array([0.5, 0.3, 0.2])
    bias = class_bias(student, softmax(logits, axis=1))
    np.testing.assert_allclose(bias - bias.mean(), -wrong, atol=0.02)
    scale, share = calibrate_student(student[nodes], bias, y[nodes], EQUAL, prior)
    log_prior = np.log(prior)

    def calibrated(scale, share):
        return log_prior + scale * (student - log_prior) + share * bias

    def loss(scale, share):
        known = log_softmax(calibrated(scale, share)[nodes], axis=1)[nodes, y[nodes]]
        return np.log(scale) ** 2 / 2 + (share / 0.5) ** 2 / 2 - known.sum()

    least = loss(scale, share)
    for step in (0.98, 1.02):  # nothing next to it is more likely
        assert least < min(loss(step * scale, share), loss(scale, step * share))
    before, after = (log_softmax(z, axis=1)[3000:] for z in (student, calibrated(scale, share)))
    rest = np.arange(2000)
    assert -after[rest, y[3000:]].mean() < -before[rest, y[3000:]].mean() - 0.3


def test_class_biases_give_a_student_the_frequencies_of_its_targets():
    rng = np.random.RandomState(0)
    logits, counts = rng.normal(size=(3000, 4)), rng.uniform(0.2, 2, size=(3000, 1))
    targets = counts * softmax(2 * logits + [1, 0, 0, -2] + rng.normal(size=(3000, 4)), axis=1)
    scales = np.linspace(0.5, 4, 8)[:, None, None]
    taken = softmax(scales * (logits + class_bias(logits, targets)), axis=2)
    frequencies = (counts * taken).sum(axis=1)
    gaps = np.abs(frequencies - targets.sum(axis=0)).max(axis=1)
    assert gaps.min() < 0.02 * len(logits)  # at its own scale, which is one of these nearly
    never = targets * [1, 1, 1, 0]
    assert np.isfinite(class_bias(logits, never)).all()


def test_a_student_that_is_held_back_still_knows_the_rare_classes():
    """Noisy features, classes of unequal sizes, as many labels of each."""
    data = make_attributed_sbm(
        6000, 6, 60, average_degree=30, homophily=0.4, feature_noise=6, random_state=0
    )
    share = np.take([1, 0.6, 0.4, 0.3, 0.2, 0.15], data.y)
    kept = np.flatnonzero(np.random.RandomState(0).random_sample(6000) < share)
    adjacency = data.graph.adjacency[kept][:, kept]
    graph, y = Graph(adjacency, data.graph.X[kept]), data.y[kept]
    known = np.concatenate([np.flatnonzero(y == c)[:40] for c in range(6)])
    test = np.setdiff1d(np.arange(len(y)), known)
    clf = LTDNodeClassifier(scalable=True, max_iter=100, random_state=0).fit(graph[known], y[known])
    logits = clf._forward(graph[test])
    scale, shift = clf.calibration_
    np.testing.assert_allclose(clf.decision_function(graph[test]), scale * logits + shift)
    raw, calibrated = softmax(logits, axis=1), clf.predict_proba(graph[test])
    scores = [f1_score(y[test], p.argmax(1), average="macro") for p in (raw, calibrated)]
    assert scores[1] > scores[0] + 0.05
    assert log_loss(y[test], calibrated) < log_loss(y[test], raw) - 0.02


@pytest.mark.parametrize("params", [{"adapt_teacher": False}, {"validation_fraction": 0.0}])
def test_without_labels_to_be_calibrated_on_a_student_is_left_alone(unequal, params):
    graph, y, role = unequal
    clf = LTDNodeClassifier(scalable=True, max_iter=3, random_state=0, **params)
    scale, shift = clf.fit(graph[role != ""], y[role != ""]).calibration_
    assert scale == 1
    assert not shift.any()


@pytest.mark.parametrize("params", [{}, {"refit": False}, {"class_weight": "balanced"}])
def test_a_calibrated_student_is_the_same_everywhere(unequal, params):
    graph, y, role = unequal
    clf = LTDNodeClassifier(scalable=True, max_iter=30, random_state=0, **params)
    clf.fit(graph, y, role=role)
    assert clf.calibration_[0] != 1
    if clf.class_weight is not None:
        np.testing.assert_array_equal(clf.predict(graph), clf._forward(graph).argmax(axis=1))
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copy.predict_proba(graph), clf.predict_proba(graph))
    np.testing.assert_array_equal(clf.predict(graph), clf.transduction_)
    module = clf.to_module()
    edge_index, edge_weight = from_scipy_sparse_matrix(graph.adjacency)
    logits = module(torch.tensor(graph.X), edge_index, edge_weight.float()).detach()
    np.testing.assert_allclose(logits.numpy(), clf.decision_function(graph), atol=1e-4)


def test_how_far_a_student_is_calibrated_is_found_before_it_learns_the_labels(unequal):
    graph, y, role = unequal
    settings = {"scalable": True, "max_iter": 20, "random_state": 0}
    first = LTDNodeClassifier(**settings, refit=False).fit(graph, y, role=role)
    last = LTDNodeClassifier(**settings).fit(graph, y, role=role)
    assert last.calibration_[0] == first.calibration_[0]
    assert np.abs(last.predict_proba(graph) - first.predict_proba(graph)).max() > 1e-3


def test_a_fit_that_fails_in_its_last_training_keeps_the_first_student(unequal, monkeypatch):
    graph, y, role = unequal
    clf = LTDNodeClassifier(scalable=True, max_iter=5, random_state=0).fit(graph, y, role=role)
    monkeypatch.setattr(LTDNodeClassifier, "_run_again", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        clf.fit(graph, y, role=role)
    assert not hasattr(clf, "transduction_")
    first = LTDNodeClassifier(scalable=True, max_iter=5, random_state=0, refit=False)
    first.fit(graph, y, role=role)
    np.testing.assert_array_equal(clf.predict_proba(graph), first.predict_proba(graph))
