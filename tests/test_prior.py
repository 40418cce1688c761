"""The teacher adapted: calibration, and the graph's class frequencies."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd._prior import calibrate, class_ratio
from sklearn_ltd.datasets import make_attributed_sbm
from sklearn_ltd.model_selection import assign_roles


def _true_logits(n, rng):
    """Logits of a calibrated classifier, and labels drawn from its probabilities."""
    logits = 2 * rng.normal(size=(n, 3))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.uniform(size=(n, 1)) > cumulated).sum(axis=1)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_calibration_undoes_a_scale(scale):
    logits, y = _true_logits(5000, np.random.RandomState(0))
    nodes = np.arange(4000)
    calibrated = calibrate((scale * logits).astype(np.float32), nodes, y[nodes])
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated, logits, rtol=0.1)


def test_calibration_lowers_the_loss_on_other_nodes():
    logits, y = _true_logits(1000, np.random.RandomState(0))
    calibrated = calibrate(6 * logits, np.arange(60), y[:60])
    before, after = (softmax(z[60:], axis=1) for z in (6 * logits, calibrated))
    assert log_loss(y[60:], after) < log_loss(y[60:], before) - 0.5


def test_few_or_no_labels_leave_the_teacher_nearly_as_it_is():
    logits, y = _true_logits(10, np.random.RandomState(0))
    none = np.empty(0, int)
    np.testing.assert_allclose(calibrate(logits, none, y[none]), logits, rtol=1e-3)
    right = logits.argmax(axis=1)[:2]  # both right: without a prior infinitely sharp
    ratio = (calibrate(logits, np.arange(2), right) / logits).mean()
    assert 1 < ratio < 3


def test_class_ratio_is_one_where_the_labels_are_drawn_from_the_graph():
    logits, y = _true_logits(20000, np.random.RandomState(0))
    np.testing.assert_allclose(class_ratio(logits, y), 1, atol=0.03)


def test_class_ratio_finds_the_direction_of_a_shift():
    # Learned from classes of one size, seen on nodes of which 80 % are of class 0: by Bayes.
    rng = np.random.RandomState(0)
    y = rng.choice(3, 5000, p=[0.8, 0.1, 0.1])
    x = 2 * np.eye(3)[y] + rng.normal(size=(5000, 3))
    balanced = log_softmax(2 * x, axis=1)  # log-likelihood ratios of the three Gaussians
    ratio = class_ratio(balanced, np.repeat([0, 1, 2], 20))
    assert 1.8 < ratio[0] < 2.4  # one step of the way to 0.8 / (1 / 3) = 2.4
    assert ratio[1:] == pytest.approx([0.45, 0.45], abs=0.15)
    right = (balanced.argmax(axis=1) == y).mean()
    assert ((balanced + np.log(ratio)).argmax(axis=1) == y).mean() > right + 0.02


@pytest.fixture(scope="module")
def unequal():
    """A noisy graph whose classes are of very unequal sizes, and balanced roles."""
    data = make_attributed_sbm(1600, 3, average_degree=4, feature_noise=6.0, random_state=0)
    kept = np.concatenate([np.flatnonzero(data.y == c)[:n] for c, n in enumerate((500, 150, 60))])
    graph, y = data.graph[np.sort(kept)].induced(), data.y[np.sort(kept)]
    return graph, y, assign_roles(y, 10, 10, 5, random_state=0)


@pytest.mark.parametrize("params", [{}, {"scalable": True}, {"temperature": 0.5}])
def test_accuracy_on_unequal_classes_with_balanced_labels(unequal, params):
    graph, y, role = unequal
    test = role == ""
    scores = [
        LTDNodeClassifier(**params, adapt_teacher=adapt, random_state=0)
        .fit(graph, y, role=role)
        .score(graph[test], y[test])
        for adapt in (True, False)
    ]
    assert scores[0] > scores[1] + 0.01


def test_class_weight_takes_the_place_of_the_correction(unequal):
    graph, y, role = unequal
    clf = LTDNodeClassifier(class_weight="balanced", max_iter=30, random_state=0)
    frequencies = np.bincount(clf.fit(graph, y, role=role).predict(graph)) / len(y)
    corrected = LTDNodeClassifier(max_iter=30, random_state=0).fit(graph, y, role=role)
    assert frequencies[2] > (corrected.predict(graph) == 2).mean()
