"""Graphs to try things on: embedded, generated, read from files, downloaded."""

import hashlib
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ._graph import Graph
from ._typing import RandomState, typed

__all__ = [
    "fetch_amazon",
    "fetch_planetoid",
    "load_karate_club",
    "load_npz",
    "make_attributed_sbm",
]


def load_karate_club() -> Bunch:
    """Load Zachary's karate club: 34 members, 78 friendships, two clubs after the split.

    Returns
    -------
    data : Bunch
        `graph` (no node features, weighted by shared activities), `y` (0 or 1),
        `target_names`, `DESCR`.

    References
    ----------
    Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", Journal of
    Anthropological Research 33, 1977.

    Examples
    --------
    >>> from sklearn_ltd.datasets import load_karate_club
    >>> club = load_karate_club()
    >>> club.graph
    Graph(n_nodes=34, n_edges=156, no features)
    >>> club.target_names
    ['Mr. Hi', 'Officer']
    """
    import networkx as nx

    club = nx.karate_club_graph()
    names = ["Mr. Hi", "Officer"]
    y = np.array([names.index(name) for _, name in club.nodes(data="club")])
    return Bunch(
        graph=Graph.from_networkx(club),
        y=y,
        target_names=names,
        DESCR=load_karate_club.__doc__,
    )


@typed(
    validate_params(
        {
            "n_nodes": [Interval(Integral, 2, None, closed="left")],
            "n_classes": [Interval(Integral, 2, None, closed="left")],
            "n_features": [Interval(Integral, 1, None, closed="left")],
            "average_degree": [Interval(Real, 0, None, closed="left")],
            "homophily": [Interval(Real, 0, 1, closed="both")],
            "feature_noise": [Interval(Real, 0, None, closed="left")],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
)
def make_attributed_sbm(
    n_nodes: int = 1000,
    n_classes: int = 4,
    n_features: int = 64,
    *,
    average_degree: float = 10.0,
    homophily: float = 0.8,
    feature_noise: float = 3.0,
    random_state: RandomState = None,
) -> Bunch:
    """Generate a stochastic block model whose nodes have Gaussian features.

    Classes have equal sizes.  The ends of an edge share their class with probability
    `homophily`; each class has a centre on the unit sphere, around which the features of its
    nodes are spread.  Time and memory are linear in the number of edges.

    Parameters
    ----------
    n_nodes, n_classes, n_features : int
    average_degree : float, default=10
        Neighbours per node on average, before repeated draws are merged.
    homophily : float in [0, 1], default=0.8
        Share of edges inside a class.
    feature_noise : float, default=3
        Expected length of the noise vector, where centres have length 1.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    data : Bunch
        `graph` (undirected, unweighted, dense float32 features), `y`, `target_names`,
        `DESCR`.

    Examples
    --------
    >>> from sklearn_ltd.datasets import make_attributed_sbm
    >>> data = make_attributed_sbm(n_nodes=100, random_state=0)
    >>> data.graph.shape
    (100, 64)
    """
    rng = check_random_state(random_state)
    if n_classes > n_nodes:
        raise ValueError(
            f"n_classes={n_classes} is more than n_nodes={n_nodes}. Ask for fewer classes."
        )
    y = rng.permutation(np.arange(n_nodes) % n_classes)
    adjacency = _block_edges(y, n_classes, round(n_nodes * average_degree / 2), homophily, rng)
    centers = rng.standard_normal((n_classes, n_features)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = rng.standard_normal((n_nodes, n_features)).astype(np.float32)
    X = centers[y] + noise * np.float32(feature_noise / np.sqrt(n_features))
    return Bunch(
        graph=Graph(adjacency, X),
        y=y,
        target_names=[f"block {i}" for i in range(n_classes)],
        DESCR=make_attributed_sbm.__doc__,
    )


def _block_edges(y, n_classes, n_edges, homophily, rng):
    """Symmetric binary adjacency: random sources, targets inside or outside their class."""
    order = np.argsort(y, kind="stable")
    sizes = np.bincount(y, minlength=n_classes)
    starts = np.cumsum(sizes) - sizes
    source = rng.randint(len(y), size=n_edges)
    inside = rng.random_sample(n_edges) < homophily
    shift = rng.randint(1, n_classes, size=n_edges)
    block = np.where(inside, y[source], (y[source] + shift) % n_classes)
    target = order[starts[block] + (rng.random_sample(n_edges) * sizes[block]).astype(int)]
    kept = source != target
    source, target = source[kept], target[kept]
    pairs = (np.concatenate([source, target]), np.concatenate([target, source]))
    adjacency = sp.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(len(y),) * 2)
    adjacency = adjacency.tocsr()
    adjacency.data[:] = 1
    return adjacency


def load_npz(path: str | Path) -> Bunch:
    """Read a graph in the npz format of the common benchmark collections.

    The file holds CSR pieces `adj_data`, `adj_indices`, `adj_indptr`, `adj_shape` of the
    adjacency, `attr_data`, ... of the features (or a dense `attr_matrix`, or none), `labels`,
    and maybe `class_names`.  Pickled objects are refused.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    data : Bunch
        `graph`, `y`, `target_names`, `DESCR`, and every array of the file that is left, for
        example `train_mask`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no npz file, lacks a key, holds pickled objects or inconsistent pieces.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_ltd.datasets import load_npz
    >>> ring = {"adj_data": np.ones(3), "adj_indices": [1, 2, 0], "adj_indptr": [0, 1, 2, 3]}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "ring.npz"
    ...     np.savez(path, adj_shape=(3, 3), attr_matrix=np.eye(3), labels=[0, 1, 1], **ring)
    ...     load_npz(path).graph
    Graph(n_nodes=3, n_edges=3, n_features=3)
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no such file: {path}. Pass the path of an npz file, or download a graph by "
            "fetch_planetoid or fetch_amazon."
        )
    arrays = _read_arrays(path)
    adjacency = _csr(arrays, "adj", path)
    X = arrays.pop("attr_matrix", None)
    if X is None and "attr_data" in arrays:
        X = _csr(arrays, "attr", path)
    if "labels" not in arrays:
        raise ValueError(f"{path} lacks the key 'labels'; it has {sorted(arrays)}.")
    y = arrays.pop("labels")
    if y.shape != (adjacency.shape[0],):
        raise ValueError(
            f"{path} has labels of shape {y.shape} for {adjacency.shape[0]} nodes, expected one "
            "label per node."
        )
    name = str(arrays.pop("name", path.stem))
    names = arrays.pop("class_names", None)
    names = np.unique(y).astype(str) if names is None else names
    data = Bunch(
        graph=Graph(adjacency, X),
        y=y,
        target_names=[str(name) for name in names],
        DESCR=f"{name}, read from {path.name}.",
    )
    clash = sorted(set(arrays) & set(data))
    if clash:
        raise ValueError(f"{path} has the reserved key {clash[0]!r}. Save it by another name.")
    data.update(arrays)
    return data


def _read_arrays(path, prefixes=("",)):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key.startswith(prefixes)}
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(
            f"{path} is not a readable npz file of plain arrays ({error}). Objects are never "
            "unpickled; save plain arrays by numpy.savez_compressed."
        ) from error


def _csr(arrays, prefix, path):
    keys = [f"{prefix}_{part}" for part in ("data", "indices", "indptr", "shape")]
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"{path} lacks the key {missing[0]!r}; it has {sorted(arrays)}.")
    data, indices, indptr, shape = (arrays.pop(key) for key in keys)
    try:
        matrix = sp.csr_array((data, indices, indptr), shape=tuple(int(n) for n in shape))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: the {prefix}_* pieces are no CSR matrix ({error}).") from error
    return matrix


_AMAZON = "https://github.com/shchur/gnn-benchmark/raw/master/data/npz/amazon_electronics_{}.npz"
# sha256 of the content, see `_digest`.
_DIGESTS = {
    "planetoid_cora": "d830ee2fd5aab4977fed388e6dd60dbd8d469f61dc92f1b6e67ad83217eb9cb3",
    "planetoid_citeseer": "9219d1c0fd59177b790e33d516db11e4b89f3a4e345001bbe6ec9b86e28d11c7",
    "amazon_photo": "3ddb7193611b8317cfafbfa4b20a97d46ac8c3fd00ff3adbf7dce489e9ac49b3",
    "amazon_computers": "5cd46649766c6e7d70503f73cbf7f59f91b82f105a61a81a1d77bece49a70be4",
}
# sha256 of the sha256 digests, line by line, of x, tx, allx, y, ty, ally, graph and test.index.
_FILES = {
    "cora": "3d793abc9fd35338fa39d47247d3a88b9ba37c1edffb4aaf40fb66bf69d12566",
    "citeseer": "9bb135ae87dbd54644ca28ccc36bd86e529fd14ee0ddba6cd078602bdbe7ed1c",
    "pubmed": "b9c53cdbf77bb9e9860b0f27698fc4e34b668ee13c1728016f94ff8d9e195866",
}
_PUBMED = {"nodes": 19717, "edges": 88648, "features": 500, "classes": 3}


@typed(
    validate_params(
        {"name": [StrOptions({"cora", "citeseer", "pubmed"})], "data_home": [str, Path, None]},
        prefer_skip_nested_validation=True,
    )
)
def fetch_planetoid(name: str, data_home: str | Path | None = None) -> Bunch:
    """Download a citation network with the public split, once, through torch-geometric.

    Parameters
    ----------
    name : {"cora", "citeseer", "pubmed"}
    data_home : str or Path, default=None
        Where the graph is kept; scikit-learn's data home if not given.

    Returns
    -------
    data : Bunch
        `graph` (sparse bag-of-words features), `y`, `target_names`, `DESCR`, and the masks
        `train_mask`, `val_mask`, `test_mask`.

    Raises
    ------
    OSError
        If the download fails, or is another graph than expected; nothing is kept then.

    Notes
    -----
    The source's files are pickles: their sha256 digests are checked before torch-geometric reads
    them.  That of edges, features, labels and masks is checked after the download and at each use;
    of PubMed, where it is not known, the counts are.

    References
    ----------
    Yang, Cohen, Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings",
    ICML 2016.

    Examples
    --------
    >>> from sklearn_ltd.datasets import fetch_planetoid
    >>> fetch_planetoid("cora").graph  # doctest: +SKIP
    Graph(n_nodes=2708, n_edges=10556, n_features=1433)
    """

    def download(folder):
        from torch_geometric.datasets import Planetoid

        class Checked(Planetoid):
            def process(self):
                _check_files(name, self.raw_paths)
                super().process()

        title = {"cora": "Cora", "citeseer": "CiteSeer"}.get(name, "PubMed")
        data = Checked(folder, name=title)[0]
        masks = {key: data[key].numpy() for key in ("train_mask", "val_mask", "test_mask")}
        graph = Graph.from_pyg(data)
        return graph.adjacency, sp.csr_array(graph.X), {"labels": data.y.numpy()} | masks

    return _fetch(f"planetoid_{name}", data_home, download, fetch_planetoid.__doc__)


@typed(
    validate_params(
        {"name": [StrOptions({"computers", "photo"})], "data_home": [str, Path, None]},
        prefer_skip_nested_validation=True,
    )
)
def fetch_amazon(name: str, data_home: str | Path | None = None) -> Bunch:
    """Download an Amazon co-purchase network, once.

    Parameters
    ----------
    name : {"computers", "photo"}
    data_home : str or Path, default=None
        Where the graph is kept; scikit-learn's data home if not given.

    Returns
    -------
    data : Bunch
        `graph` (undirected, without loops; sparse bag-of-words features), `y`, `target_names`,
        `DESCR`.

    Raises
    ------
    OSError
        If the download fails, or is another graph than expected; nothing is kept then.

    Notes
    -----
    The sha256 digest of edges, features and labels is checked, after the download and at each
    use.  Nothing is unpickled.

    References
    ----------
    Shchur, Mumme, Bojchevski, Guennemann, "Pitfalls of Graph Neural Network Evaluation",
    2018.

    Examples
    --------
    >>> from sklearn_ltd.datasets import fetch_amazon
    >>> fetch_amazon("photo").target_names  # doctest: +SKIP
    ['0', '1', '2', '3', '4', '5', '6', '7']
    """

    def download(folder):
        path = Path(folder) / "download.npz"
        with urlopen(_AMAZON.format(name), timeout=60) as response:  # noqa: S310 (https)
            path.write_bytes(response.read())
        arrays = _read_arrays(path, ("adj_", "attr_", "labels"))
        adjacency, X = _csr(arrays, "adj", path), _csr(arrays, "attr", path)
        adjacency = sp.csr_array(adjacency + adjacency.T, dtype=np.float32)
        adjacency.setdiag(0)
        for matrix in (adjacency, X):
            matrix.eliminate_zeros()
            matrix.data[:] = 1
        return adjacency, X.astype(np.float32), {"labels": arrays["labels"].astype(np.int64)}

    return _fetch(f"amazon_{name}", data_home, download, fetch_amazon.__doc__)


def _fetch(name, data_home, download, description):
    """A graph from the data home; if it is not there, it is downloaded, checked and put there."""
    folder = Path(get_data_home(data_home)) / "sklearn_ltd"
    path = folder / f"{name}.npz"
    if path.exists():
        data = load_npz(path)
        try:
            _check_content(name, data)
        except ValueError as error:
            raise OSError(f"{path} is damaged: {error} Delete it to download it anew.") from error
    else:
        folder.mkdir(parents=True, exist_ok=True)
        data = _keep_download(name, path, download)
    data.DESCR = f"{name.replace('_', ' ').capitalize()}.\n\n{description}"
    return data


def _keep_download(name, path, download):
    """Download to a folder beside `path`, check, move there; the graph."""
    with TemporaryDirectory(dir=path.parent) as temporary:
        new = Path(temporary) / path.name
        try:
            _save_npz(new, *download(temporary))
            data = load_npz(new)
            _check_content(name, data)
        except Exception as error:  # a broken download fails in many ways
            raise OSError(
                f"the download of {name} failed, nothing was kept: {error} Try again; or get "
                "the graph elsewhere and read it with load_npz."
            ) from error
        new.replace(path)
    return data


def _save_npz(path, adjacency, X, arrays):
    """Write what `load_npz` reads."""
    for prefix, matrix in (("adj", adjacency), ("attr", X)):
        pieces = (matrix.data, matrix.indices, matrix.indptr, matrix.shape)
        names = (f"{prefix}_{part}" for part in ("data", "indices", "indptr", "shape"))
        arrays = arrays | dict(zip(names, pieces))
    np.savez_compressed(path, **arrays)


def _check_files(name, paths):
    """Raise a ValueError if these are not the files of that citation network."""
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    if digest != _FILES[name]:
        raise ValueError(f"the sha256 digest of its files is {digest}, not {_FILES[name]}.")


def _check_content(name, data):
    """Raise a ValueError if this is not the graph of that name."""
    if name == "planetoid_pubmed":
        adjacency, shape = data.graph.adjacency, data.graph.shape
        found = (shape[0], adjacency.nnz, shape[1], len(data.target_names))
        if found != tuple(_PUBMED.values()):
            raise ValueError(f"expected {_PUBMED}, got {found}.")
    elif (digest := _digest(data)) != _DIGESTS[name]:
        raise ValueError(f"the sha256 digest of its content is {digest}, not {_DIGESTS[name]}.")


def _digest(data):
    """Sha256 of edges, features, labels and public masks, whatever file they came from."""
    digest = hashlib.sha256()
    for matrix in (data.graph.adjacency, sp.csr_array(data.graph.X, copy=True)):
        matrix.sum_duplicates()  # a graph's adjacency has none
        for part in (matrix.shape, matrix.indptr, matrix.indices):
            digest.update(np.asarray(part, dtype="<i8").tobytes())
        digest.update(matrix.data.astype("<f4").tobytes())
    digest.update(data.y.astype("<i8").tobytes())
    for name in ("train_mask", "val_mask", "test_mask"):
        if name in data:
            digest.update(data[name].astype(bool).tobytes())
    return digest.hexdigest()
