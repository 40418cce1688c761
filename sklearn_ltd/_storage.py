"""Graphs in folders: plain ``.npy`` pieces that are read where and when they are needed."""

import json
import shutil
import uuid
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ._checks import check_adjacency, check_features, check_names
from ._whole import Rows, Whole

_FORMAT = "sklearn_ltd graph"
_VERSION = 1
_CSR = ("indptr", "indices", "data")
_INDEX, _FLOAT, _NAME = ("i4", "i8"), ("f4", "f8"), ("i", "U")


def save_folder(whole, folder):
    """Write the pieces to a new sub-folder, then point ``graph.json`` to it; see `Graph.save`."""
    folder = Path(folder).resolve()
    _check_replaceable(folder)
    arrays = _arrays(whole)
    names = whole.feature_names
    pieces = folder / f"pieces-{uuid.uuid4().hex}"
    pieces.mkdir(parents=True)
    try:
        for name, array in arrays.items():
            np.save(pieces / f"{name}.npy", array, allow_pickle=False)
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "pieces": pieces.name,
            "n_nodes": whole.n_nodes,
            "n_features": whole.n_features if whole.has_features else None,
            "feature_names": None if names is None else list(names),
            "arrays": sorted(arrays),
        }
        new = pieces / "graph.json"
        new.write_text(json.dumps(header, indent=1))
        new.replace(folder / "graph.json")
    except BaseException:
        shutil.rmtree(pieces, ignore_errors=True)
        raise
    for old in folder.glob("pieces-*"):
        if old != pieces:
            shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(folder):
    """Raise if the folder holds anything but a saved graph, or what is left of a save."""
    content = {path.name for path in folder.iterdir()} if folder.exists() else set()
    strange = {name for name in content if not name.startswith("pieces-")} - {"graph.json"}
    if strange:
        raise FileExistsError(
            f"{folder} holds other things than a saved graph, e.g. {min(strange)!r}. Pass a new "
            "or empty folder."
        )
    if "graph.json" in content:
        _read_header(folder)


def _arrays(whole):
    """The pieces to save, by name."""
    incoming = whole.incoming
    matrices = {"adjacency": whole.adjacency}
    if incoming is not whole.adjacency:
        matrices["incoming"] = incoming
    arrays = {"degree": np.asarray(whole.degree)}
    if sp.issparse(whole.X):
        matrices["X"] = whole.X
    elif whole.has_features:
        arrays["X"] = whole.X
    if whole.node_names is not None:
        if whole.node_names.dtype.kind not in _NAME:
            raise TypeError(
                "node_names can be saved if all are strings or all are integers, got "
                f"{type(whole.node_names[0]).__name__}. Convert them first."
            )
        arrays["node_names"] = whole.node_names
    for name, matrix in matrices.items():
        arrays |= {f"{name}_{piece}": getattr(matrix, piece) for piece in _CSR}
    return arrays


def open_folder(folder, mmap):
    """A `Whole` of the graph in a folder; see `Graph.open`."""
    stored = StoredWhole(Path(folder).resolve())
    if mmap:
        return stored
    X, _ = check_features(stored.X, stored.n_nodes)
    names = stored.node_names
    names = None if names is None else check_names(names.tolist(), stored.n_nodes)
    return Whole(_load(stored.adjacency), _load(X), names, stored.feature_names)


def _load(array):
    """A copy in memory."""
    return array if array is None else array.copy()


class StoredWhole(Whole):
    """A graph that stays in its folder.  Pickling passes on the path alone.

    The sizes of all pieces are checked at once.  Batches check what they read (`Rows`); whoever
    needs all of it, as `adjacency` or `X`, has it checked in full at the first use.
    """

    def __init__(self, folder, pieces=None):
        self.folder = folder
        self.header = _read_header(folder, pieces)
        self.arrays = _open_arrays(folder, self.header)
        self.feature_names = self.header["feature_names"]
        if self.feature_names is not None:
            self.feature_names = np.asarray(self.feature_names, dtype=object)
        self.node_names = self.arrays.get("node_names")
        self.cache, self.edge_cache = {}, {}

    def __reduce__(self):
        pieces = self.header["pieces"]
        _read_header(self.folder, pieces)  # fails here rather than in a worker, which says little
        return StoredWhole, (self.folder, pieces)

    @property
    def n_nodes(self):
        return self.header["n_nodes"]

    @property
    def n_edges(self):
        return len(self.arrays["adjacency_indices"])

    @property
    def has_features(self):
        return self.header["n_features"] is not None

    @property
    def n_features(self):
        return self.header["n_features"] if self.has_features else super().n_features

    @property
    def size(self):
        entries = self.arrays.get("X_indices", self.arrays.get("X"))
        return self.n_edges + (self.n_nodes if entries is None else entries.size)

    @property
    def edge_arrays(self):
        return [self.arrays[f"adjacency_{piece}"] for piece in _CSR]

    @property
    def feature_arrays(self):
        names = ("X", *(f"X_{piece}" for piece in _CSR))
        return [self.arrays[name] for name in names if name in self.arrays]

    @property
    def nbytes(self):
        return 0

    @cached_property
    def adjacency(self):
        return check_adjacency(self._checked("adjacency", self.n_nodes))

    @cached_property
    def X(self):
        if "X_indices" in self.arrays:
            return self._checked("X", self.n_features)
        check_features(self.arrays.get("X"), self.n_nodes)
        return self.arrays.get("X")

    @cached_property
    def incoming(self):
        symmetric = "incoming_indices" not in self.arrays
        return self.adjacency if symmetric else self._checked("incoming", self.n_nodes)

    @property
    def degree(self):
        return self.arrays["degree"]

    @property
    def incoming_rows(self):
        name = "incoming" if "incoming_indices" in self.arrays else "adjacency"
        return self._rows(name, self.n_nodes)

    @property
    def feature_rows(self):
        if "X_indices" in self.arrays:
            return self._rows("X", self.n_features)
        return self.arrays["X"] if self.has_features else super().feature_rows

    def _rows(self, name, n_columns):
        pieces = (self.arrays[f"{name}_{piece}"] for piece in _CSR)
        return Rows(*pieces, n_columns, signed=name == "X")

    def _checked(self, name, n_columns):
        """A CSR array of three pieces, all bounds checked before any native code runs on it."""
        indptr, indices, data = (self.arrays[f"{name}_{piece}"] for piece in _CSR)
        try:
            matrix = sp.csr_array((data, indices, indptr), shape=(self.n_nodes, n_columns))
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"the graph in {self.folder} is damaged: {name}: {error}") from error
        return matrix


def _read_header(folder, expected=None):
    """The header of the graph, whose pieces have to be the `expected` ones, if any are."""
    path = folder / "graph.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no saved graph in {folder}: it has no graph.json. Write one by graph.save(folder)."
        )
    try:
        header = json.loads(path.read_text())
        known = header["format"] == _FORMAT and header["version"] == _VERSION
        n_nodes, n_features, pieces = header["n_nodes"], header["n_features"], header["pieces"]
        names = header["feature_names"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} does not describe a saved graph ({error!r}).") from error
    if not known:
        raise ValueError(
            f"{path} is of format {header['format']!r}, version {header['version']!r}, expected "
            f"{_FORMAT!r}, version {_VERSION}. Save the graph again."
        )
    valid = type(n_nodes) is int and n_nodes > 0 and type(pieces) is str
    valid &= n_features is None or (type(n_features) is int and n_features > 0)
    valid &= type(header.get("arrays")) is list
    valid &= names is None or (type(names) is list and len(names) == n_features)
    if not valid or not pieces.startswith("pieces-") or Path(pieces).name != pieces:
        raise ValueError(f"{path} does not describe a saved graph. Save the graph again.")
    if expected not in (None, pieces):
        raise ValueError(
            f"the graph in {folder} was saved anew since it was opened. Open it again."
        )
    return header


def _open_arrays(folder, header):
    """The pieces, mapped from disk, with the dtypes and shapes that belong together."""
    n, d = header["n_nodes"], header["n_features"]
    known = {"degree": (_FLOAT, (n,)), "X": (_FLOAT, (n, d)), "node_names": (_NAME, (n,))}
    for name in ("adjacency", "incoming", "X"):
        known |= {
            f"{name}_indptr": (_INDEX, (n + 1,)),
            f"{name}_indices": (_INDEX, None),
            f"{name}_data": (_FLOAT, None),
        }
    arrays = {}
    for name in header["arrays"]:
        if name not in known:
            raise ValueError(f"{folder}/graph.json names an unknown piece {name!r}.")
        arrays[name] = _map(folder / header["pieces"] / f"{name}.npy", *known[name])
    has_X = "X" in arrays or "X_indices" in arrays
    needed = [f"adjacency_{piece}" for piece in _CSR] + ["degree"]
    groups = {name.removesuffix("_indices") for name in arrays if name.endswith("_indices")}
    needed += [f"{group}_{piece}" for group in groups for piece in _CSR]
    missing = sorted(set(needed) - set(arrays))
    if missing or has_X != (d is not None):
        raise ValueError(f"the graph in {folder} lacks the piece {(missing or ['X'])[0]!r}.")
    for group in groups:
        if arrays[f"{group}_indices"].shape != arrays[f"{group}_data"].shape:
            raise ValueError(
                f"the graph in {folder} is damaged: {group}_indices and {group}_data differ in "
                "length."
            )
    return arrays


def _map(path, dtypes, shape):
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"the graph is damaged: {path} is no readable .npy file ({error}). Save it again."
        ) from error
    dtype = array.dtype.str.lstrip("<|=")
    fits = array.ndim == 1 if shape is None else array.shape == shape
    if not dtype.startswith(dtypes) or not fits:
        raise ValueError(
            f"the graph is damaged: {path} has dtype {array.dtype} and shape {array.shape}, "
            f"expected dtype {' or '.join(dtypes)} and shape {shape or '(n_entries,)'}. Save it "
            "again."
        )
    return array
