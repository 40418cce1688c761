"""A fit that was interrupted goes on from its checkpoint and ends with the same bits."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier, _checkpoint

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
N_EPOCHS = 12
SETTINGS = {"hidden_dim": 8, "max_iter": N_EPOCHS, "random_state": 0, "device": "cpu"}
TEACHER = GNNNodeClassifier(hidden_dim=8, max_iter=5)
KINDS = {
    "gnn": partial(GNNNodeClassifier, **SETTINGS),
    "learned": partial(LTDNodeClassifier, TEACHER, warmup_iter=3, **SETTINGS),
    "scalable": partial(LTDNodeClassifier, TEACHER, scalable=True, **SETTINGS),
    "batches": partial(LTDNodeClassifier, TEACHER, scalable=True, batch_size=7, **SETTINGS),
    "ltd of ltd": partial(
        LTDNodeClassifier,
        LTDNodeClassifier(TEACHER, hidden_dim=8, max_iter=5, warmup_iter=1),
        "mlp",
        warmup_iter=3,
        **SETTINGS,
    ),
    "forest": partial(LTDNodeClassifier, RandomForestClassifier(5), warmup_iter=3, **SETTINGS),
}


class Dies:
    """A callback that raises at the end of epoch `n` of the estimator that it is given to."""

    def __init__(self, n):
        self.n_left = n

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.n_left -= context.task_name == "epoch"
        if self.n_left == 0:
            raise MemoryError("killed")


@pytest.fixture(autouse=True)
def _after_every_epoch(monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS_BETWEEN", 0)


@pytest.fixture
def known(graph, y):
    return graph[:60], y[:60]


def interrupted(clf, known, n):
    with pytest.raises(MemoryError):
        clf.set_callbacks(Dies(n)).fit(*known)


def assert_same_fit(clf, other):
    assert clf.history_ == other.history_
    assert clf.best_iter_ == other.best_iter_
    for name, array in other.state_.items():
        np.testing.assert_array_equal(clf.state_[name], array)
    if isinstance(other, LTDNodeClassifier):
        np.testing.assert_array_equal(clf.temperatures_, other.temperatures_)


@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_fit_equals_the_uninterrupted_one(kind, n, known, tmp_path):
    whole = KINDS[kind]().fit(*known)
    interrupted(KINDS[kind](checkpoint_dir=tmp_path), known, n)
    resumed = KINDS[kind](checkpoint_dir=tmp_path).fit(*known)
    assert_same_fit(resumed, whole)


def test_a_fit_interrupted_in_its_teacher_is_resumed(known, tmp_path):
    whole = KINDS["ltd of ltd"]().fit(*known)
    dying = KINDS["ltd of ltd"](checkpoint_dir=tmp_path)
    dying.teacher = clone(dying.teacher).set_callbacks(Dies(3))
    with pytest.raises(MemoryError):
        dying.fit(*known)
    resumed = KINDS["ltd of ltd"](checkpoint_dir=tmp_path).fit(*known)
    assert_same_fit(resumed.teacher_.teacher_, whole.teacher_.teacher_)
    assert_same_fit(resumed.teacher_, whole.teacher_)
    assert_same_fit(resumed, whole)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_a_finished_fit_is_not_trained_again(device, known, tmp_path):
    first = KINDS["learned"](checkpoint_dir=tmp_path, device=device).fit(*known)
    again = KINDS["learned"](checkpoint_dir=tmp_path, device=device)
    assert_same_fit(again.set_callbacks(Dies(1)).fit(*known), first)


def test_a_finished_teacher_is_not_trained_again(known, tmp_path):
    interrupted(KINDS["learned"](checkpoint_dir=tmp_path), known, 2)
    teacher = tmp_path / "teacher" / "fit.npz"
    written = teacher.stat().st_mtime_ns
    KINDS["learned"](checkpoint_dir=tmp_path).fit(*known)
    assert teacher.stat().st_mtime_ns == written


KILLED = """
import sys
from sklearn_ltd import _checkpoint
from test_checkpoint import *
from sklearn_ltd.datasets import make_attributed_sbm

class Killed(Dies):
    def on_fit_task_end(self, estimator, context):
        try:
            super().on_fit_task_end(estimator, context)
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)

_checkpoint.SECONDS_BETWEEN = 0
data = make_attributed_sbm(
    n_nodes=80, n_classes=3, n_features=12, average_degree=5, random_state=0
)
clf = KINDS["learned"](checkpoint_dir=sys.argv[1])
clf.set_callbacks(Killed(6)).fit(data.graph[:60], data.y[:60])
"""


def test_a_killed_process_is_resumed_by_another(known, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    resumed = KINDS["learned"](checkpoint_dir=tmp_path).fit(*known)
    assert_same_fit(resumed, KINDS["learned"]().fit(*known))


def test_a_crash_while_saving_leaves_the_old_file(known, tmp_path, monkeypatch):
    interrupted(KINDS["gnn"](checkpoint_dir=tmp_path), known, 6)
    before = (tmp_path / "fit.npz").read_bytes()

    def full(file, state):
        file.write(before[:100])
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(_checkpoint, "_write", full)
        with pytest.raises(OSError, match="no space left"):
            KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known)
    assert (tmp_path / "fit.npz").read_bytes() == before
    assert_same_fit(KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known), KINDS["gnn"]().fit(*known))


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", 0.5), ("random_state", 1), ("backbone", "sage")]
)
def test_a_checkpoint_of_other_parameters_is_refused(name, value, known, tmp_path):
    KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known)
    other = KINDS["gnn"](checkpoint_dir=tmp_path).set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"another fit.* {name}.*delete the folder"):
        other.fit(*known)


def test_a_checkpoint_of_other_data_is_refused(known, tmp_path):
    graph, y = known
    KINDS["learned"](checkpoint_dir=tmp_path).fit(graph, y)
    features = graph.with_features(graph.X + 1)
    edges = Graph(graph.adjacency.T + 2 * graph.adjacency, graph.X)[:60]
    for other, labels, name in [
        (features, y, "features"),
        (edges, y, "edges"),
        (graph, np.roll(y, 1), "labels"),
    ]:
        with pytest.raises(ValueError, match=f"differs in .*{name}"):
            KINDS["learned"](checkpoint_dir=tmp_path).fit(other, labels)


def test_a_checkpoint_of_another_teacher_is_refused(known, tmp_path):
    KINDS["forest"](checkpoint_dir=tmp_path).fit(*known)
    other = KINDS["forest"](checkpoint_dir=tmp_path).set_params(teacher__max_depth=1)
    with pytest.raises(ValueError, match="differs in teacher"):
        other.fit(*known)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_damaged_checkpoint_says_so(damage, known, tmp_path):
    KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known)
    path = tmp_path / "fit.npz"
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes({"cut": data[:-500], "flipped": data, "text": b"hello"}[damage])
    with pytest.raises(ValueError, match=r"fit\.npz' is damaged .*Delete it"):
        KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known)


def test_a_checkpoint_needs_a_random_state(known, tmp_path):
    clf = GNNNodeClassifier(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint_dir needs a random_state.*random_state=0"):
        clf.fit(*known)


def test_short_fits_are_saved_at_their_end_only(known, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS_BETWEEN", 3600)
    interrupted(KINDS["gnn"](checkpoint_dir=tmp_path), known, 6)
    assert not list(tmp_path.iterdir())
    KINDS["gnn"](checkpoint_dir=tmp_path).fit(*known)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]
