"""A search on a cluster: what is sent, what a lost worker costs, and the same results."""

import os
import pickle
import signal
import sys
from itertools import chain
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sklearn_ltd import GNNNodeClassifier, Graph
from sklearn_ltd._whole import Whole
from sklearn_ltd.datasets import make_attributed_sbm

GRID = {"learning_rate": [0.003, 0.01, 0.03, 0.1]}


@pytest.fixture(scope="module")
def data():
    """500 nodes, so that also the folds (150 indices) are large enough to be sent apart."""
    return make_attributed_sbm(n_nodes=500, n_classes=3, n_features=20, random_state=0)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        client.amm.stop()  # keep the copies of what is broadcast
        yield client


class DiesOnce(GNNNodeClassifier):
    """Kills the process of its first fit; `epitaph` is the file by which the others know."""

    def __init__(self, backbone="sgc", *, epitaph=None, learning_rate=0.01):
        super().__init__(
            backbone, learning_rate=learning_rate, max_iter=20, random_state=0, device="cpu"
        )
        self.epitaph = epitaph

    def fit(self, graph, y):
        if self.epitaph is not None and not Path(self.epitaph).exists():
            Path(self.epitaph).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(graph, y)


def count_arrivals():
    """Count the graphs that are unpickled in this process."""

    def arrive(self, state):
        Whole.n_arrived += 1
        self.__dict__.update(state)

    Whole.n_arrived = 0
    Whole.__setstate__ = arrive


def n_arrived():
    return Whole.n_arrived


def scores(search):
    return search.cv_results_["mean_test_score"]


def test_the_size_of_a_view_is_that_of_what_is_pickled(data):
    view = data.graph[:10]
    assert sys.getsizeof(view) == pytest.approx(len(pickle.dumps(view)), rel=0.05)


def test_a_mapped_graph_is_sent_as_its_path(data, tmp_path):
    data.graph.save(tmp_path / "graph")
    view = Graph.open(tmp_path / "graph")[:10]
    assert len(pickle.dumps(view)) < 1000
    assert sys.getsizeof(view) < 1000


def test_dask_gets_the_graph_once_per_worker(client, data, monkeypatch):
    clf = DiesOnce()
    view, y = data.graph[::2], data.y[::2]
    serial = GridSearchCV(clf, GRID, cv=3).fit(view, y)
    pickled, getstate = [], Whole.__getstate__
    monkeypatch.setattr(Whole, "__getstate__", lambda self: pickled.append(self) or getstate(self))
    client.run(count_arrivals)
    with joblib.parallel_config("dask"):
        search = GridSearchCV(clf, GRID, cv=3, refit=False).fit(view, y)
    assert len(pickled) == 1
    assert max(client.run(n_arrived).values()) == 1
    np.testing.assert_array_equal(scores(search), scores(serial))


def test_a_killed_worker_costs_its_tasks_only(client, data, tmp_path):
    view, y = data.graph[::2], data.y[::2]
    folds = list(StratifiedKFold(3).split(view, y))
    serial = GridSearchCV(DiesOnce(), GRID, cv=folds, refit=False).fit(view, y)
    search = GridSearchCV(DiesOnce(epitaph=tmp_path / "dead"), GRID, cv=folds, refit=False)
    workers = set(client.run(os.getpid).values())
    with joblib.parallel_config("dask", scatter=[view, y, *chain.from_iterable(folds)]):
        search.fit(view, y)
    assert set(client.run(os.getpid).values()) != workers
    np.testing.assert_array_equal(scores(search), scores(serial))


def test_a_search_on_ray_with_a_mapped_graph(data, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    data.graph.save(tmp_path / "graph")
    view, y = Graph.open(tmp_path / "graph")[::2], data.y[::2]
    serial = GridSearchCV(DiesOnce(), GRID, cv=3, refit=False).fit(data.graph[::2], y)
    register_ray()
    path = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", runtime_env=path)
    try:
        with joblib.parallel_config("ray", n_jobs=-1):
            search = GridSearchCV(DiesOnce(), GRID, cv=3, refit=False).fit(view, y)
    finally:
        ray.shutdown()
    np.testing.assert_array_equal(scores(search), scores(serial))
