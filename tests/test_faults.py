"""What a fit leaves when something goes wrong: advice, the best epoch, or no model at all."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier, _base
from sklearn_ltd._backbones import BACKBONES

SETTINGS = {"hidden_dim": 8, "max_iter": 6, "random_state": 0, "device": "cpu"}
MODES = [{}, {"scalable": True}, {"temperature": 1.0}]


def ltd(backbone="gcn", **params):
    return LTDNodeClassifier(
        GNNNodeClassifier("mlp", **SETTINGS), backbone, **{"warmup_iter": 2, **SETTINGS, **params}
    )


class Fails(torch.nn.Module):
    """A linear layer whose call number `when` raises `error`."""

    error, when, calls = None, 0, 0

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_classes)

    def forward(self, x, edge_index):
        Fails.calls += 1
        if Fails.calls == Fails.when:
            raise Fails.error
        return self.layer(x)


@pytest.fixture
def fails(monkeypatch):
    """Let the module raise an error at a call from now on."""

    def arrange(error, when):
        monkeypatch.setattr(Fails, "error", error)
        monkeypatch.setattr(Fails, "when", when)
        monkeypatch.setattr(Fails, "calls", 0)

    return arrange


ADVICE = r"batch_size.*scalable=True.*device='cpu'"
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize(
    "clf",
    [
        GNNNodeClassifier(Fails, **SETTINGS),
        ltd(Fails),
        ltd(Fails, scalable=True),
        LTDNodeClassifier(GNNNodeClassifier(Fails, **SETTINGS), **SETTINGS),
    ],
    ids=["gnn", "ltd", "scalable", "teacher"],
)
def test_a_full_gpu_during_a_fit_says_what_to_do(clf, fails, graph, y):
    fails(torch.cuda.OutOfMemoryError(str(FULL)), when=3)
    with pytest.raises(torch.cuda.OutOfMemoryError, match=ADVICE) as caught:
        clf.fit(graph, y)
    assert "Tried to allocate" in str(caught.value)
    notes = [n for n in caught.value.__notes__ if not n.startswith("This is from the teacher")]
    assert len(notes) == 1
    assert pickle.loads(pickle.dumps(caught.value)).__notes__ == caught.value.__notes__


def test_a_full_gpu_says_what_to_do_where_the_graph_is_moved_there(graph, y, monkeypatch):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError(str(FULL))

    clf = GNNNodeClassifier(**SETTINGS).fit(graph, y)
    monkeypatch.setattr(_base, "GraphTensors", full)
    new = graph.with_features(graph.X)
    with pytest.raises(torch.cuda.OutOfMemoryError, match=ADVICE):
        clf.predict(new)
    with pytest.raises(torch.cuda.OutOfMemoryError, match=ADVICE):
        clf.fit(new, y)


@pytest.mark.parametrize("clf", [GNNNodeClassifier(Fails, **SETTINGS), ltd(Fails)])
def test_a_fit_that_fails_leaves_no_model(clf, fails, graph, y):
    fails(None, when=0)
    clf.fit(graph, y).predict(graph)
    fails(RuntimeError("broken"), when=3)
    with pytest.raises(RuntimeError, match="broken"):
        clf.fit(graph, y)
    with pytest.raises(NotFittedError):
        clf.predict(graph)


@pytest.mark.parametrize("params", MODES, ids=str)
def test_an_interrupted_distillation_keeps_the_best_epoch(params, fails, graph, y):
    clf = ltd(Fails, n_iter_no_change=50, **params).set_params(max_iter=50)
    fails(KeyboardInterrupt(), when=20)
    with pytest.warns(ConvergenceWarning, match="interrupted in epoch .*best epoch so far"):
        clf.fit(graph, y)
    assert 0 < clf.n_iter_ < 20
    assert clf.best_iter_ <= clf.n_iter_
    assert np.isfinite(clf.predict_proba(graph)).all()
    assert np.isfinite(clf.temperatures_).all()


@pytest.mark.parametrize("learning_rate", [1e6, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("params", [None, *MODES], ids=str)
def test_a_divergent_run_is_never_silent(backbone, params, learning_rate, graph, y):
    clf = GNNNodeClassifier(backbone, **SETTINGS) if params is None else ltd(backbone, **params)
    clf.set_params(learning_rate=learning_rate)
    error = None
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            clf.fit(graph, y)
        except FloatingPointError as caught:
            error = str(caught)
    if error:
        assert "Lower learning_rate" in error
        return
    assert any(issubclass(w.category, ConvergenceWarning) for w in heard)
    assert np.isfinite(clf.predict_proba(graph)).all()
    if params is not None:
        assert np.isfinite(clf.temperatures_).all()


def test_a_run_whose_loss_has_grown_says_so(graph, y):
    with pytest.warns(
        ConvergenceWarning, match=r"loss has grown .* lower learning_rate; the best"
    ) as w:
        GNNNodeClassifier(**SETTINGS).set_params(learning_rate=1e6).fit(graph, y)
    assert w[0].filename == __file__  # the user's line


@pytest.mark.parametrize("make", [GNNNodeClassifier, ltd])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_torchs_default_dtype_does_not_matter(make, backbone, graph, y):
    expected = make(backbone, **SETTINGS).fit(graph, y).predict_proba(graph)
    torch.set_default_dtype(torch.float64)
    try:
        clf = make(backbone, **SETTINGS).fit(graph, y)
        found = pickle.loads(pickle.dumps(clf)).predict_proba(graph)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)
