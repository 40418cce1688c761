"""Fits and predictions in threads and processes at once; torch's global state stays as it was."""

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier, _torch
from sklearn_ltd._torch import few_threads
from sklearn_ltd.datasets import make_attributed_sbm

SEEDS = range(4)


def fit(seed):
    """Probabilities of a short fit on a graph of its own, a student after a teacher."""
    data = make_attributed_sbm(n_nodes=60, n_classes=3, n_features=6, random_state=seed)
    settings = {"hidden_dim": 8, "max_iter": 5, "random_state": seed, "device": "cpu"}
    clf = LTDNodeClassifier(GNNNodeClassifier(**settings), warmup_iter=2, **settings)
    return clf.fit(data.graph[:40], data.y[:40]).predict_proba(data.graph)


@pytest.fixture(scope="module")
def alone():
    return [fit(seed) for seed in SEEDS]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def in_new_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(timeout=60)


def test_fits_in_threads_equal_fits_one_by_one(alone, two_threads):
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        together = list(pool.map(fit, SEEDS))
    np.testing.assert_array_equal(together, alone)
    assert torch.get_num_threads() == 2
    assert in_new_thread(torch.get_num_threads) == 2


@pytest.mark.parametrize(("method", "n_processes"), [("fork", 2), ("spawn", 1)])
def test_fits_in_processes_equal_fits_one_by_one(alone, method, n_processes):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    with ProcessPoolExecutor(n_processes, multiprocessing.get_context(method)) as pool:
        together = list(pool.map(fit, SEEDS))
    np.testing.assert_array_equal(together, alone)


class CountsThreads(torch.nn.Module):
    """A linear layer that remembers how many threads it was trained with."""

    seen = []

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_classes)

    def forward(self, x, edge_index):
        self.seen.append(torch.get_num_threads())
        return self.layer(x)


def threads_of_a_large_fit(seed):
    """Numbers of threads inside the fit of a graph that is not small; the probabilities."""
    _torch._SMALL = 0
    CountsThreads.seen.clear()
    data = make_attributed_sbm(n_nodes=60, n_classes=3, n_features=6, random_state=seed)
    clf = GNNNodeClassifier(CountsThreads, max_iter=2, random_state=seed)
    proba = clf.fit(data.graph, data.y).predict_proba(data.graph)
    return set(CountsThreads.seen), proba


def test_a_large_fit_keeps_to_the_inner_threads_of_joblib(monkeypatch):
    monkeypatch.setattr(_torch, "_SMALL", _torch._SMALL)
    _, expected = threads_of_a_large_fit(0)
    results = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(threads_of_a_large_fit)(seed) for seed in (0, 1)
    )
    share = int(os.environ.get("OMP_NUM_THREADS", max(1, joblib.cpu_count() // 2)))
    assert [seen for seen, _ in results] == [{share}, {share}]
    np.testing.assert_allclose(results[0][1], expected, atol=1e-6)


def test_a_thread_begun_during_a_fit_does_not_leave_the_process_one_thread(two_threads):
    """Such a thread starts with the fit's single thread as its own number."""
    begun, go_on = threading.Event(), threading.Event()

    def begin_and_fit_later():
        torch.get_num_threads()
        begun.set()
        go_on.wait(60)
        with few_threads(0):
            pass

    thread = threading.Thread(target=begin_and_fit_later)
    with few_threads(0):
        thread.start()
        assert begun.wait(60)
    go_on.set()
    thread.join(60)
    assert torch.get_num_threads() == 2
    assert in_new_thread(torch.get_num_threads) == 2


def test_a_process_forked_during_a_fit_can_fit_too():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    inside, done = threading.Event(), threading.Event()

    def busy():
        with few_threads(0):
            inside.set()
            done.wait(120)

    thread = threading.Thread(target=busy)
    thread.start()
    inside.wait(60)
    child = multiprocessing.get_context("fork").Process(target=fit, args=(0,), daemon=True)
    child.start()
    child.join(60)
    done.set()
    thread.join(60)
    code = child.exitcode
    child.kill()
    assert code == 0


@pytest.mark.parametrize("small", [True, False])
def test_one_classifier_predicts_from_several_threads(small, graph, y, monkeypatch):
    monkeypatch.setattr(_torch, "_SMALL", 500_000 if small else 0)
    clf = GNNNodeClassifier("gat", hidden_dim=8, max_iter=3, random_state=0).fit(graph, y)
    views = [graph[i::4] for i in range(4)]
    expected = [clf.predict_proba(view) for view in views]
    for _ in range(3):
        fresh = pickle.loads(pickle.dumps(clf))  # its network is built by whoever comes first
        start = threading.Barrier(4)

        def predict(view, clf=fresh, start=start):
            start.wait(60)
            return clf.predict_proba(view)

        with ThreadPoolExecutor(4) as pool:
            for found, right in zip(pool.map(predict, views), expected):
                np.testing.assert_array_equal(found, right)


class Meets(torch.nn.Module):
    """Between its layers every call waits for the one of another thread."""

    barrier = threading.Barrier(1)

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = torch.nn.Linear(n_features, 4)
        self.second = torch.nn.Linear(4, n_classes)

    def forward(self, x, edge_index):
        hidden = self.first(x).relu()
        self.barrier.wait(60)
        return self.second(hidden)


def test_embeddings_of_two_graphs_at_once_are_not_mixed_up(graph, y, monkeypatch):
    monkeypatch.setattr(_torch, "_SMALL", 0)
    clf = GNNNodeClassifier(Meets, max_iter=2, random_state=0).fit(graph, y)
    graphs = [graph, graph.with_features(2 * graph.X)]
    expected = [clf.transform(g) for g in graphs]
    monkeypatch.setattr(Meets, "barrier", threading.Barrier(2))
    with ThreadPoolExecutor(2) as pool:
        for found, right in zip(pool.map(clf.transform, graphs), expected):
            np.testing.assert_allclose(found, right, rtol=1e-5)
