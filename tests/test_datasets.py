"""Graphs to try things on: what the loaders return, and which files they refuse."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch_geometric.datasets
from numpy.testing import assert_allclose, assert_array_equal
from torch_geometric.data import Data

from sklearn_ltd.datasets import (
    fetch_amazon,
    fetch_planetoid,
    load_karate_club,
    load_npz,
    make_attributed_sbm,
)

REAL_FILES = Path(__file__).resolve().parents[2] / "shared" / "data"


def test_karate_club():
    club = load_karate_club()
    assert club.graph.n_nodes == len(club.y) == 34
    assert club.graph.adjacency.nnz == 2 * 78
    assert abs(club.graph.adjacency - club.graph.adjacency.T).max() == 0
    assert club.graph.X is None
    assert club.target_names == ["Mr. Hi", "Officer"]
    assert_array_equal(np.bincount(club.y), [17, 17])
    assert [club.target_names[club.y[i]] for i in (0, 33)] == ["Mr. Hi", "Officer"]
    assert "Zachary" in club.DESCR


# Generated graphs


def test_sbm_has_the_asked_sizes():
    data = make_attributed_sbm(
        n_nodes=301, n_classes=3, n_features=7, average_degree=6, random_state=0
    )
    adjacency = data.graph.adjacency
    assert data.graph.shape == (301, 7)
    assert data.graph.X.dtype == np.float32
    assert sorted(np.bincount(data.y)) == [100, 100, 101]
    assert data.target_names == ["block 0", "block 1", "block 2"]
    assert abs(adjacency - adjacency.T).max() == 0
    assert_array_equal(np.unique(adjacency.data), [1])
    assert adjacency.diagonal().sum() == 0
    assert_allclose(adjacency.nnz / 301, 6, rtol=0.1)


def test_sbm_is_repeatable():
    def draw(seed):
        data = make_attributed_sbm(n_nodes=50, random_state=seed)
        return data.graph.adjacency.toarray(), data.graph.X, data.y

    for first, again in zip(draw(3), draw(3)):
        assert_array_equal(first, again)
    for first, other in zip(draw(3), draw(np.random.RandomState(3))):
        assert_array_equal(first, other)
    assert (draw(3)[2] != draw(4)[2]).any()
    assert (draw(3)[0] != draw(4)[0]).any()


@pytest.mark.parametrize("homophily", [0, 0.3, 0.8, 1])
def test_sbm_has_the_asked_homophily(homophily):
    data = make_attributed_sbm(n_nodes=600, n_classes=3, homophily=homophily, random_state=0)
    edges = data.graph.adjacency.tocoo()
    assert_allclose((data.y[edges.row] == data.y[edges.col]).mean(), homophily, atol=0.04)


def test_sbm_features_are_class_centers_plus_noise():
    data = make_attributed_sbm(n_nodes=20, n_classes=2, feature_noise=0, random_state=0)
    assert len(np.unique(data.graph.X, axis=0)) == 2
    assert_allclose(np.linalg.norm(data.graph.X, axis=1), 1, rtol=1e-5)
    noisy = make_attributed_sbm(n_nodes=20, n_classes=2, feature_noise=5, random_state=0)
    noise = np.linalg.norm(noisy.graph.X - data.graph.X, axis=1)
    assert_allclose(noise.mean(), 5, rtol=0.2)


def test_sbm_without_edges():
    graph = make_attributed_sbm(n_nodes=10, average_degree=0, random_state=0).graph
    assert graph.adjacency.nnz == 0
    assert graph.n_nodes == 10


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_nodes": 1}, "'n_nodes' parameter"),
        ({"n_classes": 1}, "'n_classes' parameter"),
        ({"n_features": 0}, "'n_features' parameter"),
        ({"homophily": 1.1}, "'homophily' parameter"),
        ({"average_degree": -1}, "'average_degree' parameter"),
        ({"feature_noise": -1}, "'feature_noise' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"n_nodes": 3, "n_classes": 4}, "n_classes=4 is more than n_nodes=3"),
    ],
)
def test_sbm_refuses_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        make_attributed_sbm(**params)


# Files

ADJACENCY = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]], dtype=np.float32)
FEATURES = np.array([[1, 0], [0, 0], [0, 3]], dtype=np.float32)


def pieces(prefix, dense):
    matrix = sp.csr_array(dense)
    return {
        f"{prefix}_data": matrix.data,
        f"{prefix}_indices": matrix.indices,
        f"{prefix}_indptr": matrix.indptr,
        f"{prefix}_shape": np.array(matrix.shape),
    }


def write(tmp_path, **changes):
    """A valid file of three nodes, with some keys changed, or dropped where None."""
    arrays = pieces("adj", ADJACENCY) | {"labels": np.array([0, 1, 1])} | changes
    path = tmp_path / "toy.npz"
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize("as_path", [str, Path])
def test_npz_with_sparse_features(tmp_path, as_path):
    data = load_npz(as_path(write(tmp_path, **pieces("attr", FEATURES))))
    assert_array_equal(data.graph.adjacency.toarray(), ADJACENCY)
    assert isinstance(data.graph.X, sp.csr_array)
    assert_array_equal(data.graph.X.toarray(), FEATURES)
    assert_array_equal(data.y, [0, 1, 1])
    assert data.target_names == ["0", "1"]


def test_npz_with_dense_features(tmp_path):
    X = load_npz(write(tmp_path, attr_matrix=FEATURES)).graph.X
    assert isinstance(X, np.ndarray)
    assert_array_equal(X, FEATURES)


def test_npz_without_features(tmp_path):
    assert load_npz(write(tmp_path)).graph.X is None


def test_npz_with_names_and_further_arrays(tmp_path):
    mask = np.array([True, False, False])
    names = np.array(["cat", "dog"])
    path = write(tmp_path, class_names=names, name=np.array("zoo"), train_mask=mask)
    data = load_npz(path)
    assert data.target_names == ["cat", "dog"]
    assert data.DESCR == "zoo, read from toy.npz."
    assert_array_equal(data.train_mask, mask)
    assert set(data) == {"graph", "y", "target_names", "DESCR", "train_mask"}


@pytest.mark.parametrize(
    ("name", "n_nodes", "n_edges", "n_features", "n_classes"),
    [
        ("cora", 2708, 5278, 1433, 7),
        ("citeseer", 3312, 4536, 3703, 6),
        ("planetoid_cora", 2708, 5278, 1433, 7),
        ("planetoid_citeseer", 3327, 4552, 3703, 6),
        ("amazon_photo", 7650, 119081, 745, 8),
        ("amazon_computers", 13752, 245861, 767, 10),
    ],
)
def test_benchmark_files_have_the_published_counts(name, n_nodes, n_edges, n_features, n_classes):
    path = REAL_FILES / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    data = load_npz(path)
    assert data.graph.shape == (n_nodes, n_features)
    assert data.graph.adjacency.nnz == 2 * n_edges
    assert sp.issparse(data.graph.X)
    assert_array_equal(np.unique(data.y), np.arange(n_classes))
    assert len(data.target_names) == n_classes
    if name == "planetoid_cora":
        assert [data[f"{part}_mask"].sum() for part in ("train", "val", "test")] == [140, 500, 1000]


class Unpickled:
    """An object that tells when it is unpickled."""

    happened = False

    def __setstate__(self, state):
        Unpickled.happened = True


@pytest.mark.parametrize("key", ["labels", "adj_data", "extra"])
def test_npz_never_unpickles(tmp_path, key):
    evil = Unpickled()
    evil.payload = 1
    assert pickle.loads(pickle.dumps(evil)) is not None
    assert Unpickled.happened
    Unpickled.happened = False
    path = write(tmp_path, **{key: np.array([evil, evil, evil], dtype=object)})
    with pytest.raises(ValueError, match=r"toy\.npz is not a readable npz.*never unpickled"):
        load_npz(path)
    assert not Unpickled.happened


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_truncated_npz_is_refused(tmp_path, share):
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"toy\.npz is not a readable npz file"):
        load_npz(path)


@pytest.mark.parametrize("length", [10**6, 2**45, 2**62])
def test_an_npz_that_claims_more_than_it_holds_is_refused(tmp_path, length):
    path = write(tmp_path, labels=None)
    header = {"descr": "<f8", "fortran_order": False, "shape": (length,)}
    with zipfile.ZipFile(path, "a") as archive, archive.open("labels.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(24))
    with pytest.raises(ValueError, match=r"toy\.npz is not a readable npz file"):
        load_npz(path)


def test_damaged_npz_is_read_or_refused(tmp_path):
    path = write(tmp_path)
    content = path.read_bytes()
    refused = 0
    for i in range(0, len(content), 3):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :])
        try:
            load_npz(path)
        except ValueError:
            refused += 1
    assert refused > 100


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "toy.npz"
    path.write_text("source,target\n1,2\n")
    with pytest.raises(ValueError, match=r"toy\.npz is not a readable npz file"):
        load_npz(path)
    np.save(tmp_path / "toy.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"toy\.npy is not a readable npz file"):
        load_npz(tmp_path / "toy.npy")
    with pytest.raises(ValueError, match="is not a readable npz file"):
        load_npz(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nope\.npz"):
        load_npz(tmp_path / "nope.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adj_indptr": None}, "lacks the key 'adj_indptr'; it has .*'adj_data'"),
        ({"labels": None}, "lacks the key 'labels'"),
        ({"attr_data": np.ones(3)}, "lacks the key 'attr_indices'"),
        ({"adj_indices": np.array([1, 0, 9, 1])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_indices": np.array([1, 0, -1, 1])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_indices": np.array([1, 0, 2**40, 1])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_indptr": np.array([0, 1, 3, 99])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_indptr": np.array([0, 3, 1, 4])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_data": np.ones((4, 1))}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_shape": np.array([2**62, 3])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_shape": np.array([-3, 3])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_shape": np.array([np.inf, 3])}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_shape": np.array(3)}, r"adj_\* pieces are no CSR matrix"),
        ({"adj_shape": np.array([3, 4])}, "adjacency must be square"),
        ({"adj_data": np.array([1.0, np.nan, 1, 1])}, "edge weights must be finite"),
        ({"adj_data": np.array([1.0, -1, 1, 1])}, "edge weights must be >= 0"),
        ({"labels": np.zeros((3, 1))}, r"labels of shape \(3, 1\) for 3 nodes"),
        ({"labels": np.zeros(2)}, r"labels of shape \(2,\) for 3 nodes"),
        ({"attr_matrix": np.ones((2, 2))}, "X has 2 rows, but the adjacency has 3 nodes"),
    ],
)
def test_inconsistent_npz_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_npz(write(tmp_path, **changes))


@pytest.mark.parametrize("key", ["y", "graph", "target_names", "DESCR"])
def test_keys_of_a_file_cannot_replace_those_of_the_result(tmp_path, key):
    with pytest.raises(ValueError, match=rf"toy\.npz.*'{key}'"):
        load_npz(write(tmp_path, **{key: np.ones(3)}))


# Downloads, without the network


@pytest.fixture
def roots(monkeypatch):
    """Fake downloads; the list receives where each would have put its files, and its name."""
    calls = []

    class Fake:
        def __init__(self, root, name):
            calls.append((Path(root), name))

        def __getitem__(self, index):
            assert index == 0
            mask = torch.tensor([True, False, False])
            return Data(
                x=torch.from_numpy(FEATURES),
                edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
                y=torch.tensor([0, 1, 1]),
                train_mask=mask,
                val_mask=mask.roll(1),
                test_mask=mask.roll(2),
            )

    monkeypatch.setattr(torch_geometric.datasets, "Planetoid", Fake)
    monkeypatch.setattr(torch_geometric.datasets, "Amazon", Fake)
    return calls


@pytest.mark.parametrize(
    ("fetch", "name", "name_there"),
    [
        (fetch_planetoid, "cora", "Cora"),
        (fetch_planetoid, "citeseer", "CiteSeer"),
        (fetch_planetoid, "pubmed", "PubMed"),
        (fetch_amazon, "computers", "Computers"),
        (fetch_amazon, "photo", "Photo"),
    ],
)
@pytest.mark.parametrize("as_path", [str, Path])
def test_downloads_return_a_bunch(roots, tmp_path, fetch, name, name_there, as_path):
    data = fetch(name, data_home=as_path(tmp_path))
    assert roots == [(tmp_path / "sklearn_ltd", name_there)]
    assert isinstance(data.graph.X, sp.csr_array)
    assert_array_equal(data.graph.X.toarray(), FEATURES)
    assert_array_equal(data.graph.adjacency.toarray(), ADJACENCY > 0)
    assert isinstance(data.y, np.ndarray)
    assert_array_equal(data.y, [0, 1, 1])
    assert len(data.target_names) == 2
    assert name in data.DESCR


def test_planetoid_returns_the_public_split(roots, tmp_path):
    data = fetch_planetoid("cora", data_home=tmp_path)
    assert_array_equal(data.train_mask, [True, False, False])
    assert_array_equal(data.val_mask, [False, True, False])
    assert_array_equal(data.test_mask, [False, False, True])
    assert data.graph[data.test_mask].nodes.tolist() == [2]


def test_downloads_go_to_the_data_home_of_scikit_learn(roots, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    fetch_amazon("photo")
    assert roots == [(tmp_path / "sklearn_ltd", "Photo")]


@pytest.mark.parametrize("fetch", [fetch_planetoid, fetch_amazon])
def test_unknown_names_are_refused_before_any_download(roots, fetch):
    with pytest.raises(ValueError, match=r"'name' parameter of .* must be a str among"):
        fetch("facebook")
    assert roots == []
