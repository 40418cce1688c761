"""Graphs to try things on: what the loaders return, and which files they refuse."""

import hashlib
import http.server
import pickle
import zipfile
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.sparse as sp
import torch_geometric.datasets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import Bunch

from sklearn_ltd import Graph, datasets
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

    def __reduce__(self):
        return _unpickle, ()


def _unpickle():
    Unpickled.happened = True
    return Unpickled()


def test_unpickling_would_be_noticed():
    Unpickled.happened = False
    pickle.loads(pickle.dumps(Unpickled()))
    assert Unpickled.happened


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


# Downloads, from a server in this process

NAMES = ["planetoid_cora", "amazon_photo"]


def fetch(name, data_home):
    source, name = name.split("_")
    return {"planetoid": fetch_planetoid, "amazon": fetch_amazon}[source](name, data_home)


@pytest.fixture(scope="module")
def toy():
    data = make_attributed_sbm(n_nodes=600, n_classes=3, n_features=9, random_state=0)
    return data.graph.with_features(sp.csr_array(data.graph.X > 0.3, dtype=np.float32)), data.y


def write_amazon(folder, graph, y):
    """As in the source: an edge once, loops, counts, and an object that must not be unpickled."""
    half = sp.csr_array(sp.triu(graph.adjacency) + 2 * sp.eye_array(len(y)))
    arrays = {"labels": y.astype(np.int32), "class_names": np.array([Unpickled()], dtype=object)}
    for prefix, matrix in (("adj", half), ("attr", 3 * graph.X)):
        for part in ("data", "indices", "indptr", "shape"):
            arrays[f"{prefix}_{part}"] = getattr(matrix, part)
    np.savez(folder / "amazon_photo.npz", **arrays)


def write_planetoid(folder, graph, y):
    """Eight files; those of the last nodes are in a random order."""
    n_train, n_all = 20, 550
    order = np.random.RandomState(0).permutation(np.arange(n_all, len(y)))
    one_hot = np.eye(3)[y]
    pieces = {"x": graph.X[:n_train], "allx": graph.X[:n_all], "tx": graph.X[order]}
    pieces = {name: sp.csr_matrix(piece) for name, piece in pieces.items()}
    pieces |= {"y": one_hot[:n_train], "ally": one_hot[:n_all], "ty": one_hot[order]}
    edges = graph.adjacency
    pieces["graph"] = {i: edges[[i]].indices.tolist() + [i] for i in range(len(y))}
    for name, piece in pieces.items():
        (folder / f"ind.cora.{name}").write_bytes(pickle.dumps(piece))
    (folder / "ind.cora.test.index").write_text("".join(f"{i}\n" for i in order))


def digest_of_files(folder, name):
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    contents = [(folder / f"ind.{name}.{part}").read_bytes() for part in parts]
    lines = "\n".join(hashlib.sha256(content).hexdigest() for content in contents)
    return hashlib.sha256(lines.encode()).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch, toy):
    """A folder that is served in place of the sources; `requests` lists what was asked for."""
    graph, y = toy
    folder = tmp_path / "served"
    folder.mkdir()
    write_amazon(folder, graph, y)
    write_planetoid(folder, graph, y)
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args):
            requests.append(self.path)

        def log_message(self, *args):
            pass

    handler = partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(datasets, "_AMAZON", f"{url}/amazon_{{}}.npz")
        monkeypatch.setattr(torch_geometric.datasets.Planetoid, "url", url)
        index = np.arange(600)
        masks = {"train_mask": index < 20, "val_mask": (index >= 20) & (index < 520)}
        masks["test_mask"] = index >= 550
        for name in NAMES:
            known = Bunch(graph=graph, y=y, **(masks if "planetoid" in name else {}))
            monkeypatch.setitem(datasets._DIGESTS, name, datasets._digest(known))
        monkeypatch.setitem(datasets._FILES, "cora", digest_of_files(folder, "cora"))
        yield Bunch(folder=folder, requests=requests)
        server.shutdown()


def kept(data_home):
    """All that is in the data home."""
    return sorted(path.name for path in (data_home / "sklearn_ltd").rglob("*"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_path", [str, Path])
def test_a_download_is_checked_and_kept(server, toy, tmp_path, name, as_path):
    graph, y = toy
    Unpickled.happened = False
    for downloads in (True, False):
        server.requests.clear()
        data = fetch(name, as_path(tmp_path))
        assert isinstance(data.graph.X, sp.csr_array)
        assert data.graph.X.dtype == data.graph.adjacency.dtype == np.float32
        assert_array_equal(data.graph.X.toarray(), graph.X.toarray())
        assert_array_equal(data.graph.adjacency.toarray(), graph.adjacency.toarray())
        assert_array_equal(data.y, y)
        assert data.target_names == ["0", "1", "2"]
        assert name.split("_")[1] in data.DESCR
        assert kept(tmp_path) == [f"{name}.npz"]
        assert bool(server.requests) == downloads
    assert not Unpickled.happened


def test_planetoid_returns_the_public_split(server, tmp_path):
    data = fetch_planetoid("cora", data_home=tmp_path)
    sizes = [data[f"{part}_mask"].sum() for part in ("train", "val", "test")]
    assert sizes == [20, 500, 50]
    assert data.graph[data.test_mask].nodes.tolist() == list(range(550, 600))


def test_downloads_go_to_the_data_home_of_scikit_learn(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    fetch_amazon("photo")
    assert kept(tmp_path) == ["amazon_photo.npz"]


def swap_labels(folder, toy):
    graph, y = toy
    y = np.concatenate([y[:-2], (y[-2:] + 1) % 3])
    write_amazon(folder, graph, y)
    write_planetoid(folder, graph, y)


def drop_an_edge(folder, toy):
    graph, y = toy
    adjacency = graph.adjacency.tolil()
    i, j = np.argwhere(graph.adjacency.toarray())[0]
    adjacency[i, j] = adjacency[j, i] = 0
    graph = Graph(adjacency.tocsr(), graph.X)
    write_amazon(folder, graph, y)
    write_planetoid(folder, graph, y)


def add_a_word(folder, toy):
    graph, y = toy
    X = graph.X.tolil()
    X[0, np.flatnonzero(X[[0]].toarray() == 0)[0]] = 1
    graph = graph.with_features(sp.csr_array(X))
    write_amazon(folder, graph, y)
    write_planetoid(folder, graph, y)


def truncate(folder, toy):
    for name in ("amazon_photo.npz", "ind.cora.allx"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-100])


def replace_by_a_page(folder, toy):
    for path in folder.iterdir():
        path.write_text("<html>Please log in</html>")


def remove(folder, toy):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "damage", [swap_labels, drop_an_edge, add_a_word, truncate, replace_by_a_page, remove]
)
def test_a_bad_download_is_refused_and_leaves_nothing(server, toy, tmp_path, name, damage):
    damage(server.folder, toy)
    with pytest.raises(OSError, match=f"download of {name} failed, nothing was kept.*load_npz"):
        fetch(name, tmp_path)
    assert kept(tmp_path) == []


def test_a_download_that_breaks_off_is_refused(tmp_path, monkeypatch, server):
    def copyfile(self, source, outputfile):
        outputfile.write(source.read(1000))

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "copyfile", copyfile)
    with pytest.raises(OSError, match=r"download of amazon_photo failed.*IncompleteRead"):
        fetch_amazon("photo", tmp_path)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_in_the_data_home_is_refused(server, tmp_path, name):
    fetch(name, tmp_path)
    path = tmp_path / "sklearn_ltd" / f"{name}.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["labels"][0] = (arrays["labels"][0] + 1) % 3
    np.savez(path, **arrays)
    with pytest.raises(OSError, match=r"is damaged: the sha256 digest .* Delete it"):
        fetch(name, tmp_path)
    path.unlink()
    fetch(name, tmp_path)


@pytest.mark.parametrize(
    "name", ["planetoid_cora", "planetoid_citeseer", "amazon_photo", "amazon_computers"]
)
def test_digests_are_those_of_the_benchmark_files(name):
    path = REAL_FILES / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    datasets._check_content(name, load_npz(path))


def test_pickles_are_not_read_before_they_are_known(server, tmp_path):
    Unpickled.happened = False
    (server.folder / "ind.cora.graph").write_bytes(pickle.dumps(Unpickled()))
    with pytest.raises(OSError, match=r"nothing was kept: the sha256 digest of its files"):
        fetch_planetoid("cora", tmp_path)
    assert not Unpickled.happened


def test_content_is_checked_besides_the_files(server, toy, tmp_path, monkeypatch):
    swap_labels(server.folder, toy)
    monkeypatch.setitem(datasets._FILES, "cora", digest_of_files(server.folder, "cora"))
    with pytest.raises(OSError, match=r"nothing was kept: the sha256 digest of its content"):
        fetch_planetoid("cora", tmp_path)


def test_pubmed_is_counted(server, tmp_path, monkeypatch):
    for path in server.folder.glob("ind.cora.*"):
        path.rename(path.with_name(path.name.replace("cora", "pubmed")))
    monkeypatch.setitem(datasets._FILES, "pubmed", digest_of_files(server.folder, "pubmed"))
    with pytest.raises(OSError, match=r"nothing was kept: expected .*19717.*, got \(600, "):
        fetch_planetoid("pubmed", tmp_path)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("fetch", [fetch_planetoid, fetch_amazon])
def test_unknown_names_are_refused_before_any_download(server, fetch):
    with pytest.raises(ValueError, match=r"'name' parameter of .* must be a str among"):
        fetch("facebook")
    assert server.requests == []
