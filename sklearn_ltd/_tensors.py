"""A graph as tensors on a device: its edges in the forms that layers read, and its features."""

from copy import copy
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch

from ._sparse import EdgePattern, SelectedRows, SparseMatrix
from ._torch import store_by_columns

_N_DIRECTIONS = 64
_EDGE_COST = 8  # of an entry in a sparse product, in multiplications of a dense one


class EdgeTensors:
    """The edges of a graph on a device, in the forms that the layers read.

    Parameters
    ----------
    adjacency : scipy sparse array of shape (n, n_targets)
        ``adjacency[i, j]`` is the weight of the edge i -> j; node j receives from i.  Where edges
        end at some nodes only, these come first.
    device, dtype
        Where the tensors live and what they hold.
    degree : ndarray of shape (n,), default=None
        Weighted in-degrees with self-loops, where those of `adjacency` are not the ones to
        normalise by, or not known for all nodes.
    """

    def __init__(self, adjacency, device="cpu", dtype=torch.float32, degree=None):
        self.device = torch.device(device)
        self.dtype = dtype
        self._incoming = sp.csr_array(adjacency.T)
        self._degree = degree

    @property
    def n_targets(self):
        return self._incoming.shape[0]

    @property
    def n_sources(self):
        return self._incoming.shape[1]

    def _diagonal(self, values):
        return sp.diags_array(values.astype(np.float64), shape=self._incoming.shape)

    @cached_property
    def _with_self_loops(self):
        """Incoming edges; nodes without a self-loop get one of weight 1."""
        return sp.csr_array(self._incoming + self._diagonal(self._incoming.diagonal() == 0))

    @cached_property
    def symmetric(self):
        """``D^-1/2 (A + I) D^-1/2`` with D the weighted in-degree (Kipf & Welling, 2017)."""
        with_loops = self._with_self_loops
        degree = with_loops.sum(axis=1) if self._degree is None else self._degree
        scale = 1 / np.sqrt(degree)
        scaled = _scaled(with_loops, scale[: self.n_targets], scale)
        return SparseMatrix.from_scipy(scaled, self.device, self.dtype)

    @cached_property
    def mean(self):
        """The weighted mean over the sources of incoming edges; 0 where there are none."""
        return self._row_means(self._incoming)

    @cached_property
    def neighbor_mean(self):
        """`mean` over the other nodes: no self-loops; a node without neighbours is its own."""
        others = self._incoming - self._diagonal(self._incoming.diagonal())
        others.eliminate_zeros()
        alone = np.diff(others.indptr) == 0
        return self._row_means(sp.csr_array(others + self._diagonal(alone)))

    def _row_means(self, matrix):
        total = matrix.sum(axis=1).astype(np.float64)
        scale = np.divide(1, total, out=np.zeros(len(total)), where=total > 0)
        return SparseMatrix.from_scipy(_scaled(matrix, scale), self.device, self.dtype)

    @cached_property
    def attention_pattern(self):
        """The places of the edges, with self-loops."""
        return EdgePattern(self._with_self_loops, self.device)

    @cached_property
    def edge_index(self):
        """Sources and targets of the edges, shape (2, n_edges), as PyG has them."""
        edges = self._incoming.tocoo()
        pairs = np.stack([edges.col, edges.row]).astype(np.int64)
        return torch.from_numpy(pairs).to(self.device)

    @cached_property
    def edge_weight(self):
        weights = self._incoming.tocoo().data.astype(np.float64)
        return torch.tensor(weights, device=self.device, dtype=self.dtype)


def _scaled(matrix, rows, columns=None):
    """A CSR array with its rows, and its columns, times these numbers; scipy's product is slow."""
    values = matrix.data * np.repeat(rows, np.diff(matrix.indptr))
    if columns is not None:
        values *= columns[matrix.indices]
    return sp.csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


class GraphTensors:
    """A graph on a device, as the backbones read it.

    Parameters
    ----------
    edges : EdgeTensors
        Those that the first hop follows.
    X : ndarray, scipy sparse array, torch.Tensor or SelectedRows of shape (n, d), or None
        Node features, of which a tensor is not copied; sparse ones stay sparse where that, with
        the transpose, takes less memory than a dense tensor.
    kept : bool
        Whether the graph is used many times, so that what `propagate` makes of dense features is
        worth keeping.
    inner : GraphTensors or None
        What the next hop follows, without features: edges from where those of this one end.  None:
        the same edges.
    averages : tuple of (str, torch.Tensor of shape (n, d + 1)) or None
        The name of the edges that a first hop has followed already, and what they gave for the
        features and for a column of ones; `edges` then lead from each node to itself.
    """

    def __init__(self, edges, X, kept=False, inner=None, averages=None):
        self.edges = edges
        self.kept = kept
        self._inner = inner
        self._averages = averages
        self._propagated = {}
        self.x = None if X is None else _feature_tensor(X, edges.device, edges.dtype)

    @property
    def n_nodes(self):
        return self.edges.n_sources

    @property
    def inner(self):
        return self if self._inner is None else self._inner

    def for_one_pass(self):
        """The same graph, without what is kept of it: so that a prediction is always the same."""
        graph = copy(self)
        graph.kept = False
        return graph

    def at_targets(self, h):
        """The rows of `h`, or of the features, for the nodes where the edges end."""
        if h.shape[0] == self.edges.n_targets:
            return h
        return self._target_x if h is self.x else h[: self.edges.n_targets]

    @cached_property
    def _target_x(self):
        return self.x[: self.edges.n_targets]

    @property
    def neighbor_mean(self):
        return self.edges.neighbor_mean

    def averages(self, name):
        """What the edges of that `name` gave for the features; None: they are to be followed."""
        if self._averages is None:
            return None
        known, rows = self._averages
        return rows[:, :-1] if known == name else None

    def propagate(self, name, h, linear, added=None):
        """``A linear(h) + added``, where A is the form of the edges of that `name`.

        The product with A follows the weights, which narrow, and keep sparse features sparse.
        For dense features it comes first, ``linear(A X)``, where it is known; where the graph is
        kept, once for all, for which as much memory is kept as X takes; and where few edges start
        at many more nodes than they end at.

        Parameters
        ----------
        name : {"symmetric", "mean"}
        h : torch.Tensor of shape (n, d), or the features
        linear : torch.nn.Linear
            Without a bias; where something is added, called as ``linear(h, added)``.
        added : torch.Tensor of shape (k,) or (n_targets, k), default=None

        Returns
        -------
        h : torch.Tensor of shape (n_targets, k)
        """
        averages = self.averages(name) if h is self.x else None
        if averages is None:
            edges = getattr(self.edges, name)
            dense_x = h is self.x and not isinstance(h, SparseMatrix)
            if dense_x and self.kept:
                if name not in self._propagated:
                    self._propagated[name] = edges @ h
                averages = self._propagated[name]
            elif dense_x and self._spares_products(edges, linear):
                averages = edges @ h
            else:
                return edges.product(linear(h), added)
        return linear(averages) if added is None else linear(averages, added)

    def _spares_products(self, edges, linear):
        """Whether averages at the targets are multiplied in less time than all sources are."""
        spared = self.edges.n_sources - self.edges.n_targets
        return _EDGE_COST * edges.n_entries < spared * linear.out_features

    def sizes(self, average, unit, n_nodes=None):
        """Sums of the squared features before and after they are averaged over neighbours.

        Without their mean, which says nothing of a node.  Of many features, along random
        directions in their space.

        Parameters
        ----------
        average : callable
            ``average(h, graph)``, see `_Backbone.feature_weights`.
        unit : float
            What the features are measured in.
        n_nodes : int or None
            Look at so many nodes, the first ones, instead of all.

        Returns
        -------
        sizes : ndarray of shape (2,)
        """
        n_features, dtype = self.x.shape[1], self.edges.dtype
        if n_features <= _N_DIRECTIONS:
            directions = torch.eye(n_features, dtype=dtype)
        else:
            generator, shape = torch.Generator().manual_seed(0), (n_features, _N_DIRECTIONS)
            directions = torch.randn(shape, generator=generator, dtype=dtype)
        with torch.no_grad():
            directions = (directions / unit).to(self.edges.device)
            along = self.x @ directions
            mean = along.mean(0)
            along -= mean
            averaged = along
            if self._averages is not None:
                _, rows = self._averages
                averaged = rows[:, :-1] @ directions - rows[:, -1:] * mean
            norms = [float(h[:n_nodes].norm()) for h in (along, average(averaged, self))]
        return np.square(norms)

    @cached_property
    def dense_x(self):
        return self.x if torch.is_tensor(self.x) else self.x.to_dense()


def store_weights_for(X, feature_weights):
    """Lay `_Backbone.feature_weights` out in memory as their products with `X` read them."""
    if _stays_sparse(X):
        for weight, *_ in feature_weights:
            store_by_columns(weight)


def stays_sparse(n_entries, size):
    """Whether so many of `size` numbers take less memory as a `SparseMatrix` than as a tensor."""
    return 4 * n_entries < size


def _stays_sparse(X):
    return sp.issparse(X) and stays_sparse(X.nnz, X.shape[0] * X.shape[1])


def _feature_tensor(X, device, dtype):
    if isinstance(X, SelectedRows):
        return X
    if torch.is_tensor(X):
        return X.to(device, dtype)
    if _stays_sparse(X):
        return SparseMatrix.from_scipy(X, device, dtype)
    X = X.toarray() if sp.issparse(X) else np.ascontiguousarray(X)
    return torch.tensor(X, device=device, dtype=dtype)


def shrinkage(samples, average, unit):
    """By how much the features shrink when they are averaged over neighbours.

    Parameters
    ----------
    samples : iterable of (GraphTensors, int or None)
        Where to look, and at how many of the nodes, see `GraphTensors.sizes`.
    average, unit
        See `GraphTensors.sizes`.

    Returns
    -------
    shrinkage : float
        The ratio of their root mean squares after and before; 1 for features that are all the same.
        Where few nodes are the neighbours of many it may be larger.
    """
    before, after = np.sqrt(sum(graph.sizes(average, unit, n) for graph, n in samples))
    return float(after / before) if before else 1.0
