"""Fitted classifiers travel: pickle, joblib, skops, other machines, later versions."""

import io
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ltd import GNNNodeClassifier, KNNGraph, LTDNodeClassifier, NodeFeatures
from sklearn_ltd._backbones import BACKBONES
from sklearn_ltd.datasets import make_attributed_sbm

SETTINGS = {"hidden_dim": 8, "max_iter": 5, "random_state": 0, "device": "cpu"}
STORED = Path(__file__).parent / "data" / "ltd_0.1.0.skops"


@pytest.fixture(scope="module")
def data():
    return make_attributed_sbm(n_nodes=80, n_classes=3, n_features=10, random_state=0)


@pytest.fixture(params=[*BACKBONES, "random forest teacher", "pipeline"])
def fitted(request, data):
    if request.param == "pipeline":
        clf = make_pipeline(NodeFeatures(StandardScaler()), LTDNodeClassifier(**SETTINGS))
    elif request.param in BACKBONES:
        clf = LTDNodeClassifier(backbone=request.param, **SETTINGS)
    else:
        clf = LTDNodeClassifier(RandomForestClassifier(5), **SETTINGS)
    return clf.fit(data.graph[:40], data.y[:40])


def same(a, b, graph):
    np.testing.assert_array_equal(a.predict_proba(graph), b.predict_proba(graph))


def test_pickle(fitted, data):
    fitted.predict(data.graph)
    same(pickle.loads(pickle.dumps(fitted)), fitted, data.graph)


@pytest.mark.parametrize("options", [{}, {"compress": 3}], ids=["plain", "compressed"])
def test_joblib(fitted, data, tmp_path, options):
    joblib.dump(fitted, tmp_path / "clf.joblib", **options)
    same(joblib.load(tmp_path / "clf.joblib"), fitted, data.graph)


def test_joblib_memory_mapped(fitted, data, tmp_path):
    joblib.dump(fitted, tmp_path / "clf.joblib")
    same(joblib.load(tmp_path / "clf.joblib", mmap_mode="r"), fitted, data.graph)


def test_skops_has_to_trust_our_names_alone(fitted, data):
    skops = pytest.importorskip("skops.io")
    file = skops.dumps(fitted)
    unknown = skops.get_untrusted_types(data=file)
    theirs = {"sklearn.tree._tree.Tree"}  # skops wants this one named for any forest
    assert all(name.startswith("sklearn_ltd.") for name in set(unknown) - theirs)
    same(skops.loads(file, trusted=unknown), fitted, data.graph)


def test_loading_and_predicting_leave_the_callers_seeds_alone(fitted, data):
    loaded = pickle.loads(pickle.dumps(fitted))
    before = torch.get_rng_state()
    loaded.predict(data.graph)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cls", [GNNNodeClassifier, LTDNodeClassifier])
def test_the_file_holds_no_training_graph(cls, data):
    big = make_attributed_sbm(n_nodes=3000, n_classes=3, n_features=50, random_state=0)
    clf = cls(**SETTINGS).fit(big.graph[:100], big.y[:100])
    clf.predict(big.graph)
    parameters = sum(a.nbytes for a in clf.state_.values())
    per_node = {GNNNodeClassifier: 8, LTDNodeClassifier: 8 + 8 + 3 * 4 + 8}[cls]
    fitted = [clf, *([clf.teacher_] if cls is LTDNodeClassifier else [])]
    histories = sum(len(pickle.dumps(one.history_)) for one in fitted)
    assert len(pickle.dumps(clf)) < 3 * parameters + per_node * 3000 + histories + 15_000


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_model_of_a_gpu_opens_without_one(data):
    clf = GNNNodeClassifier(**SETTINGS).fit(data.graph[:40], data.y[:40])
    expected = clf.predict_proba(data.graph)
    travelled = pickle.loads(pickle.dumps(clf.set_params(device="cuda")))
    np.testing.assert_array_equal(travelled.predict_proba(data.graph), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_model_of_a_gpu_holds_no_gpu_memory(data):
    settings = SETTINGS | {"device": "cuda"}
    clf = LTDNodeClassifier(**settings).fit(data.graph[:40], data.y[:40])
    clf.predict(data.graph)
    assert b"cuda:0" not in pickle.dumps(clf)
    on_cpu = pickle.loads(pickle.dumps(clf)).set_params(device="cpu")
    np.testing.assert_allclose(
        on_cpu.predict_proba(data.graph), clf.predict_proba(data.graph), atol=1e-5
    )


def test_a_knn_pipeline_travels_with_its_training_samples():
    X = np.random.RandomState(0).standard_normal((40, 5))
    y = np.arange(40) % 2
    pipe = make_pipeline(KNNGraph(3), LTDNodeClassifier(**SETTINGS)).fit(X[:30], y[:30])
    file = io.BytesIO()
    joblib.dump(pipe, file)
    file.seek(0)
    np.testing.assert_array_equal(joblib.load(file).predict(X[30:]), pipe.predict(X[30:]))


def test_a_file_of_this_version_can_be_read():
    """Written by ``tests/data/write_stored.py``; a new version has to read it."""
    skops = pytest.importorskip("skops.io")
    trusted = skops.get_untrusted_types(file=STORED)
    clf = skops.load(STORED, trusted=trusted)
    data = make_attributed_sbm(n_nodes=60, n_classes=3, n_features=6, random_state=0)
    expected = np.load(STORED.with_suffix(".npy"))
    np.testing.assert_allclose(clf.predict_proba(data.graph), expected, atol=1e-5)
