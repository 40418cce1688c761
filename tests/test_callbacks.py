"""Progress, scores and interruption of a fit."""

import time

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd._train import PlainStep
from sklearn_ltd.datasets import make_attributed_sbm

SETTINGS = {"hidden_dim": 8, "max_iter": 6, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    return make_attributed_sbm(n_nodes=80, n_classes=3, random_state=0)


@pytest.fixture(params=[GNNNodeClassifier, LTDNodeClassifier])
def clf(request):
    return request.param(**SETTINGS)


class StopAfter:
    """Asks to stop at the end of the third epoch."""

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)
        return self.ended.count("epoch") == 3


def test_the_scoring_monitor_scores_every_epoch(clf, data):
    monitor = ScoringMonitor(scoring="accuracy")
    if isinstance(clf, LTDNodeClassifier):
        clf.set_params(refit=False, adapt_teacher=False)  # epochs are scored without calibration
    clf.set_callbacks(monitor).fit(data.graph[:40], data.y[:40])
    log = monitor.get_logs()
    scores = log.data_as_pandas["accuracy"].dropna().to_numpy()
    assert len(scores) >= clf.n_iter_
    best = clf.score(data.graph[:40], data.y[:40])
    assert np.isclose(scores, best).any()


def test_a_callback_can_stop_the_fit(clf, data):
    callback = StopAfter()
    clf.set_callbacks(callback).fit(data.graph[:40], data.y[:40])
    assert clf.n_iter_ == 3
    assert callback.begun == ["fit"] + ["epoch"] * 3
    assert callback.ended == ["epoch"] * 3 + ["fit"]


def test_callbacks_do_not_change_the_result(clf, data):
    plain = clf.fit(data.graph[:40], data.y[:40]).predict_proba(data.graph)
    clf.set_callbacks(ScoringMonitor(scoring="accuracy")).fit(data.graph[:40], data.y[:40])
    np.testing.assert_array_equal(clf.predict_proba(data.graph), plain)


def test_the_scoring_monitor_follows_a_search(data):
    monitor = ScoringMonitor(scoring="accuracy")
    clf = GNNNodeClassifier(**SETTINGS).set_callbacks(monitor)
    GridSearchCV(clf, {"dropout": [0.1, 0.5]}, cv=2).fit(data.graph[:40], data.y[:40])
    (log,) = monitor.get_logs(select="all", include_lineage=True)
    epochs = log.data_as_pandas.query("task_name == 'epoch'")
    fits = {path[:-1] for path in epochs["task_id_path"]}
    assert len(fits) == 5  # two folds of two candidates, and the refit
    assert epochs["accuracy"].between(0, 1).all()


def test_the_progress_bar_follows_a_search(data, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(GNNNodeClassifier(**SETTINGS), {"dropout": [0.1, 0.5]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=3)).fit(data.graph[:40], data.y[:40])
    time.sleep(0.1)
    assert "GNNNodeClassifier" in capsys.readouterr().out


def interrupt_after(monkeypatch, n_epochs):
    calls = []
    step = PlainStep.__call__

    def interrupted(self):
        calls.append(1)
        if len(calls) > n_epochs:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(PlainStep, "__call__", interrupted)


def test_an_interrupted_fit_keeps_the_best_epoch(data, monkeypatch):
    interrupt_after(monkeypatch, 4)
    clf = GNNNodeClassifier(**SETTINGS)
    with pytest.warns(ConvergenceWarning, match="interrupted in epoch 5; the best epoch so far"):
        clf.fit(data.graph[:40], data.y[:40])
    assert clf.n_iter_ == 4
    assert np.isfinite(clf.predict_proba(data.graph)).all()


def test_an_interruption_before_the_first_epoch_is_passed_on(data, monkeypatch):
    interrupt_after(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        GNNNodeClassifier(**SETTINGS).fit(data.graph[:40], data.y[:40])


def test_a_run_that_diverges_at_once_says_what_to_do(clf, data):
    clf.set_params(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"Lower learning_rate.*StandardScaler"):
        clf.fit(data.graph[:40], data.y[:40])


def test_a_run_that_diverges_later_keeps_the_best_finite_epoch(data, monkeypatch):
    step, calls = PlainStep.__call__, []

    def spoiled(self):
        losses, logits = step(self)
        calls.append(1)
        return losses, logits * (np.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(PlainStep, "__call__", spoiled)
    clf = GNNNodeClassifier(**SETTINGS)
    with pytest.warns(ConvergenceWarning, match="no longer finite in epoch 3; the best epoch"):
        clf.fit(data.graph[:40], data.y[:40])
    assert clf.n_iter_ == 2
    assert np.isfinite(clf.predict_proba(data.graph)).all()


def test_verbose_prints_every_tenth_epoch(clf, data, capsys):
    clf.set_params(verbose=1, max_iter=12).fit(data.graph[:40], data.y[:40])
    lines = [line for line in capsys.readouterr().out.splitlines() if type(clf).__name__ in line]
    assert [line.split()[2] for line in lines] == ["1", "11"]
