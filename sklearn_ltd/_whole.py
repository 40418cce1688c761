"""What all views of one `Graph` share."""

import hashlib
from functools import cached_property
from mmap import mmap

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

_N_STRUCTURAL = 64
_SMALLEST_UNIT = 1e-18  # whose square a float32 can hold


class Rows:
    """Rows of a CSR matrix whose pieces may lie on disk; what is read is checked first.

    Parameters
    ----------
    indptr, indices, data : ndarray
        As in scipy, but nobody has looked into them yet.
    n_columns : int
    signed : bool, default=True
        Whether values may be negative.
    """

    def __init__(self, indptr, indices, data, n_columns, signed=True):
        self.indptr = indptr
        self.indices = indices
        self.data = data
        self.n_columns = n_columns
        self.signed = signed

    @classmethod
    def of(cls, matrix):
        return cls(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])

    def extents(self, rows):
        """Where each of the rows starts among the entries, and how many it has."""
        start = self.indptr[rows].astype(np.int64)
        stop = self.indptr[rows + 1].astype(np.int64)
        if (start < 0).any() or (stop < start).any() or (stop > len(self.indices)).any():
            raise ValueError("the graph is damaged: indptr points outside the entries.")
        return start, stop - start

    def entries(self, positions):
        """Columns and values of entries."""
        columns, values = self.indices[positions], self.data[positions]
        if len(columns) and not 0 <= columns.min() <= columns.max() < self.n_columns:
            raise ValueError(
                f"the graph is damaged: indices must be in 0 .. {self.n_columns - 1}, got "
                f"{columns.min()} .. {columns.max()}."
            )
        if not np.isfinite(as_float32(values)).all():
            raise ValueError("the graph is damaged: values must be finite.")
        if not self.signed and (values < 0).any():
            raise ValueError("the graph is damaged: edge weights must be >= 0.")
        return columns, values

    def __getitem__(self, rows):
        """The rows as a CSR array."""
        positions, indptr = consecutive(*self.extents(rows))
        columns, values = self.entries(positions)
        return sp.csr_array((values, columns, indptr), shape=(len(rows), self.n_columns))


class Whole:
    """One whole graph; pickled once, without its caches."""

    def __init__(self, adjacency, X, node_names, feature_names):
        self.adjacency = adjacency
        self.X = X
        self.node_names = node_names
        self.feature_names = feature_names
        self.cache = {}
        self.edge_cache = {}  # shared by graphs with the same edges

    def __getstate__(self):
        kept = ("adjacency", "X", "node_names", "feature_names")
        return {name: self.__dict__[name] for name in kept} | {"cache": {}, "edge_cache": {}}

    @property
    def n_nodes(self):
        return self.adjacency.shape[0]

    @property
    def n_edges(self):
        return self.adjacency.nnz

    @property
    def has_features(self):
        return self.X is not None

    @property
    def n_features(self):
        return self.X.shape[1] if self.has_features else min(_N_STRUCTURAL, self.n_nodes) + 1

    @property
    def size(self):
        """Numbers stored: edges and features."""
        return self.n_edges + (
            self.X.nnz if sp.issparse(self.X) else self.n_nodes * self.n_features
        )

    @property
    def edge_arrays(self):
        return arrays_of(self.adjacency)

    @property
    def feature_arrays(self):
        return arrays_of(self.X)

    @property
    def nbytes(self):
        """Bytes that a pickle takes, but for a little."""
        arrays = (*self.edge_arrays, *self.feature_arrays, *arrays_of(self.node_names))
        return sum(array.nbytes for array in arrays)

    @cached_property
    def features(self):
        return self.X if self.has_features else _structural_features(self.adjacency)

    @cached_property
    def incoming(self):
        """Row `j` lists the edges that end at node j; the adjacency itself if undirected."""
        transpose = sp.csr_array(self.adjacency.T)
        return self.adjacency if same_entries(transpose, self.adjacency) else transpose

    @cached_property
    def degree(self):
        """Weighted in-degrees; nodes without a self-loop get one of weight 1."""
        return self.incoming.sum(axis=1) + (self.incoming.diagonal() == 0)

    @property
    def incoming_rows(self):
        return Rows.of(self.incoming)

    @property
    def feature_rows(self):
        return Rows.of(self.features) if sp.issparse(self.features) else self.features

    @property
    def _some_features(self):
        """As many rows of them as tell the scale."""
        step = max(1, self.n_nodes // 10_000)
        return self.feature_rows[np.arange(0, self.n_nodes, step)]

    @cached_property
    def feature_unit(self):
        """Root mean square of the features that are not zero: 1 where they are binary."""
        rows = self._some_features
        values = rows.data if sp.issparse(rows) else np.asarray(rows)
        values = as_float32(values)
        squares = np.square(values[values != 0], dtype=np.float64)
        unit = float(np.sqrt(squares.mean())) if squares.size else 1.0
        return max(unit, _SMALLEST_UNIT)

    @cached_property
    def largest_feature(self):
        """The column with the largest values, and its share of the sum of all squares."""
        squares = (self._some_features.astype(np.float64) ** 2).sum(axis=0)
        column = int(squares.argmax())
        return column, float(squares[column] / max(squares.sum(), np.finfo(float).tiny))

    @cached_property
    def fingerprint(self):
        """A digest of the edges, by which a graph without features is recognised.

        The same for the same edges, whatever they are stored in.
        """
        positions = np.int32 if self.n_nodes < 2**31 else np.int64
        stored = zip(self.edge_arrays, (np.int64, positions, np.float32))
        return _digest(array.astype(dtype, copy=False) for array, dtype in stored)

    @cached_property
    def feature_fingerprint(self):
        """A digest of the features."""
        return _digest(self.feature_arrays)


def consecutive(start, count):
    """``start[i], start[i] + 1, ...``, as many as `count` says, row after row.

    Returns
    -------
    numbers : ndarray of shape (sum of count,)
    indptr : ndarray of shape (n_rows + 1,)
        Where each row begins among them.
    """
    indptr = np.concatenate([[0], np.cumsum(count)])
    return np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], count), indptr


def as_float32(values):
    """What networks are trained on; infinite, without a warning, where it is too large for that."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def is_mapped(array):
    """Whether an array lies in a file; scikit-learn's checks make it look like any other."""
    while array is not None and not isinstance(array, (np.memmap, mmap)):
        array = getattr(array, "base", getattr(array, "obj", None))  # of an array, or its memory
    return array is not None


def arrays_of(matrix):
    """The numpy arrays that make up a CSR or dense matrix; none for None."""
    if sp.issparse(matrix):
        return matrix.indptr, matrix.indices, matrix.data
    return () if matrix is None else (matrix,)


def _digest(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def same_entries(a, b):
    """Whether two CSR arrays with sorted indices are equal entry by entry."""
    return all(
        np.array_equal(getattr(a, piece), getattr(b, piece))
        for piece in ("indptr", "indices", "data")
    )


def _structural_features(adjacency):
    """Leading singular directions of the normalised adjacency, and the log degree.

    The directions of ``D^-1/2 (A + I) D^-1/2`` are those in which connected nodes are alike
    (spectral embedding); they belong to this graph and mean nothing in another one.  One of them
    only tells a connected component from the others: the largest ones, half as many as there are
    directions, have a say.  The nodes of each other one have random numbers in common, and isolated
    nodes, of which nothing is known, zeros.
    """
    n_nodes = adjacency.shape[0]
    both = sp.csr_array(adjacency + adjacency.T + sp.eye_array(n_nodes))
    degree = both.sum(axis=1)
    scale = sp.diags_array(1 / np.sqrt(degree))
    _, component = connected_components(both, directed=False)
    sizes = np.bincount(component)
    largest = np.argsort(-sizes, kind="stable")[: _N_STRUCTURAL // 2]
    shape = len(sizes), min(_N_STRUCTURAL, n_nodes)
    codes = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    codes[sizes == 1] = codes[largest] = 0
    features = np.column_stack([codes[component], np.log(degree).astype(np.float32)])
    nodes = np.flatnonzero(np.isin(component, largest[sizes[largest] > 1]))
    if len(nodes):
        normalised = sp.csr_array(scale @ both @ scale)[nodes][:, nodes]
        k = min(_N_STRUCTURAL, len(nodes))
        with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of cores
            directions, values, _ = randomized_svd(normalised, k, random_state=0)
        # Unit variance on average, whatever the number of nodes.
        features[nodes, :k] = directions * values * np.sqrt(len(nodes))
    return features
