"""The displays show the numbers of the classifier, and more than an empty picture."""

import sys
from math import comb

import numpy as np
import pytest
from scipy.special import entr
from scipy.stats import pearsonr, spearmanr
from sklearn.preprocessing import FunctionTransformer

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm
from sklearn_ltd.inspection import NodeMapDisplay, TemperatureDisplay, TrainingCurveDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

KINDS = ["class", "norm", "entropy", "initial", "teacher"]


@pytest.fixture(scope="module")
def data():
    data = make_attributed_sbm(n_nodes=150, n_classes=3, n_features=12, random_state=0)
    data.names = np.array(["art", "biology", "chemistry"])[data.y]
    return data


@pytest.fixture(scope="module")
def clf(data):
    clf = LTDNodeClassifier(random_state=0, max_iter=30, warmup_iter=5, device="cpu")
    clf.fit(data.graph[:45], data.names[:45])
    clf.temperatures_ -= np.median(clf.temperatures_)  # some are negative, whatever the defaults
    return clf


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def picture(display):
    display.figure_.set_dpi(50)
    display.figure_.canvas.draw()
    return np.asarray(display.figure_.canvas.buffer_rgba())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_a_picture(clf, data, kind):
    display = TemperatureDisplay.from_estimator(clf, data.graph, data.names, kind=kind)
    image = picture(display)
    assert image.shape == (210, 300, 4)
    assert len(np.unique(image.reshape(-1, 4), axis=0)) > 20
    assert display.ax_.get_xlabel() or kind == "teacher"
    assert display.ax_.get_title()


def test_a_display_draws_on_the_axes_it_is_given_and_again_on_others(clf, data):
    _, axes = plt.subplots(1, 2)
    display = TemperatureDisplay.from_estimator(clf, data.graph, ax=axes[0])
    assert display.ax_ is axes[0]
    assert display.plot(axes[1]) is display
    assert display.ax_ is axes[1]
    assert len(axes[0].lines) == len(axes[1].lines) > 0


def test_a_box_per_class_of_the_labels_given_or_predicted(clf, data):
    ticks = TemperatureDisplay.from_estimator(clf, data.graph, data.names).ax_.get_xticklabels()
    assert [t.get_text() for t in ticks] == ["art\nn = 50", "biology\nn = 50", "chemistry\nn = 50"]
    predicted = TemperatureDisplay.from_estimator(clf, data.graph[50:])
    np.testing.assert_array_equal(predicted.against, clf.predict(data.graph[50:]))
    np.testing.assert_array_equal(predicted.temperatures, clf.temperatures_[50:])


def test_nodes_without_a_label_are_left_out(clf, data):
    partly = np.where(np.arange(150) < 60, data.names.astype(object), None)
    display = TemperatureDisplay.from_estimator(clf, data.graph, partly, kind="norm")
    np.testing.assert_array_equal(display.temperatures, clf.temperatures_[:60])


def test_norms_are_those_of_the_students_logits(clf, data):
    display = TemperatureDisplay.from_estimator(clf, data.graph, kind="norm")
    norms = np.sqrt((clf._forward(data.graph) ** 2).sum(axis=1))  # before the calibration
    np.testing.assert_allclose(display.against, norms)
    expected = spearmanr(norms, clf.temperatures_).statistic
    shown = float(display.ax_.get_title().split()[-1].replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(expected, abs=0.006)


def test_entropies_are_those_of_the_teacher_at_the_neighbours(clf, data):
    display = TemperatureDisplay.from_estimator(clf, data.graph[20:], kind="entropy")
    for node in (20, 21, 22):
        neighbors = data.graph.adjacency[[node]].indices
        mean = clf.teacher_proba_[neighbors].mean(axis=0)
        assert display.against[node - 20] == pytest.approx(entr(mean).sum(), abs=1e-5)


def test_initial_temperatures_are_those_of_a_network_that_has_not_learned(clf, data):
    display = TemperatureDisplay.from_estimator(clf, data.graph, kind="initial")
    np.testing.assert_array_equal(display.against, clf.initial_temperatures_)
    r = pearsonr(clf.initial_temperatures_, clf.temperatures_).statistic
    assert f"{abs(r):.2f}" in display.ax_.get_title()
    assert (clf.initial_temperatures_ != clf.temperatures_).all()
    fixed = LTDNodeClassifier(temperature=2.0, max_iter=5, random_state=0)
    fixed.fit(data.graph[:45], data.names[:45])
    assert (fixed.initial_temperatures_ == 2).all()
    title = TemperatureDisplay.from_estimator(fixed, data.graph, kind="initial").ax_.get_title()
    assert "all values are equal" in title


def test_teacher_errors_are_counted_on_either_side_of_zero():
    temperatures = np.repeat([-0.1, -0.1, 0.3, 0.3], [6, 2, 5, 20])
    wrong = np.repeat([True, False, True, False], [6, 2, 5, 20])
    ax = TemperatureDisplay.from_predictions(temperatures, wrong, kind="teacher").ax_
    assert [bar.get_height() for bar in ax.patches] == [5 / 25, 6 / 8]
    assert [t.get_text() for t in ax.texts] == ["5 of 25", "6 of 8"]
    # The odds at which 6 of the 11 wrong ones are expected among the 8 negative ones.
    psi = float(ax.get_title().split()[2].rstrip(","))
    weights = [comb(8, k) * comb(25, 11 - k) * psi**k for k in range(9)]
    assert np.average(range(9), weights=weights) == pytest.approx(6, abs=0.01)


def test_without_negative_temperatures_the_teacher_is_judged_on_either_side_of_the_median():
    temperatures = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    wrong = np.array([False, True, False, True, True])
    ax = TemperatureDisplay.from_predictions(temperatures, wrong, kind="teacher").ax_
    assert [bar.get_height() for bar in ax.patches] == [2 / 3, 1 / 2]
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "temperature ≥ 0.30",
        "temperature < 0.30",
    ]
    equal = TemperatureDisplay.from_predictions(np.ones(5), wrong, kind="teacher")
    assert equal.ax_.get_title() == "all temperatures are on one side"


def test_the_teacher_is_wrong_where_its_label_is_not_the_true_one(clf, data):
    display = TemperatureDisplay.from_estimator(clf, data.graph, data.names, kind="teacher")
    share = 1 - clf.teacher_.score(data.graph, data.names)
    assert display.against.mean() == pytest.approx(share)


@pytest.mark.parametrize(("make", "n_panels"), [(LTDNodeClassifier, 3), (GNNNodeClassifier, 2)])
def test_training_curves_have_a_panel_for_what_there_is(make, n_panels, data):
    clf = make(random_state=0, max_iter=25).fit(data.graph[:45], data.y[:45])
    display = TrainingCurveDisplay.from_estimator(clf)
    assert len(display.axes_) == n_panels
    accuracy = display.axes_[1].lines[0].get_ydata()
    np.testing.assert_array_equal(accuracy, [r["stop_accuracy"] for r in clf.history_])
    assert all(list(ax.lines[-1].get_xdata()) == [clf.best_iter_] * 2 for ax in display.axes_)
    assert picture(display).shape == (110 * n_panels, 350, 4)


def test_without_stop_nodes_there_is_no_panel_of_accuracy(data):
    clf = GNNNodeClassifier(validation_fraction=0, max_iter=3).fit(data.graph, data.y)
    _, ax = plt.subplots()
    display = TrainingCurveDisplay.from_estimator(clf, ax=ax)
    assert [panel.get_ylabel() for panel in display.axes_] == ["loss"]
    assert display.figure_ is ax.figure


def test_a_map_shows_classes_and_temperatures(clf, data):
    display = NodeMapDisplay.from_estimator(clf, data.graph, data.names)
    assert picture(display).shape == (250, 350, 4)
    assert display.positions.shape == (150, 2)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[:3] == ["art", "biology", "chemistry"]
    assert len(labels) == 6
    art = display.ax_.collections[0]
    temperatures = clf.temperatures_[data.names == "art"]
    assert (np.argsort(art.get_sizes()) == np.argsort(temperatures)).all()
    white = (art.get_facecolors()[:, :3] == 1).all(axis=1)
    np.testing.assert_array_equal(white, temperatures < 0)


def test_the_network_has_a_line_per_edge_and_names_where_few(clf, data):
    part = data.graph[:30]
    display = NodeMapDisplay.from_estimator(clf, part, kind="network")
    assert len(display.ax_.collections[0].get_segments()) == part.induced().adjacency.nnz // 2
    assert [text.get_text() for text in display.ax_.texts] == [str(i) for i in range(30)]
    assert not NodeMapDisplay.from_estimator(clf, data.graph, kind="network").ax_.texts


def test_a_map_of_a_graph_without_temperatures(clf, data):
    other = data.graph[:60].induced()
    display = NodeMapDisplay.from_estimator(clf, other)
    assert display.temperatures is None
    assert len(np.unique(display.ax_.collections[0].get_sizes())) == 1


def test_a_reducer_can_be_chosen(clf, data):
    class FirstTwo:
        def fit_transform(self, X):
            return X[:, :2]

    display = NodeMapDisplay.from_estimator(clf, data.graph, reducer=FirstTwo())
    np.testing.assert_array_equal(display.positions, clf.transform(data.graph)[:, :2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clf, g: TemperatureDisplay.from_estimator(clf, g, kind="x"), "must be one of"),
        (lambda clf, g: TemperatureDisplay.from_estimator(clf, g, kind="teacher"), "true labels"),
        (lambda clf, g: TemperatureDisplay.from_estimator(clf, g[:9].induced()), "with 9 nodes"),
        (lambda clf, g: NodeMapDisplay.from_estimator(clf, g, kind="x"), "must be 'embedding'"),
        (lambda clf, g: NodeMapDisplay.from_estimator(clf, g, np.zeros(150, int)), "no label in y"),
        (lambda clf, g: TrainingCurveDisplay.from_estimator(FunctionTransformer()), "no training"),
    ],
)
def test_errors_say_what_to_pass(clf, data, call, message):
    with pytest.raises(ValueError, match=message):
        call(clf, data.graph)


def test_a_missing_matplotlib_is_named(clf, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        TrainingCurveDisplay.from_estimator(clf)


def test_training_curves_on_axes_put_there_by_hand(clf):
    figure = plt.figure()
    display = TrainingCurveDisplay.from_estimator(clf, ax=figure.add_axes([0.2, 0.1, 0.7, 0.8]))
    left, right = display.axes_[0].get_position().intervalx
    assert (left, right) == pytest.approx((0.2, 0.9))
