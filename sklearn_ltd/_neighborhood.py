"""Parts of a graph: what some nodes depend on, whole or sampled, and predictions chunk by chunk.

The sampler is our own: torch-geometric's needs compiled extensions that are not on the
package index, and reads no memory-mapped graph.
"""

import math
import os
import tempfile
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch

from ._checks import first_not_finite
from ._sparse import SelectedRows, SparseMatrix
from ._tensors import EdgeTensors, GraphTensors, stays_sparse
from ._whole import Rows, as_float32, consecutive, is_mapped

_CHUNK_EDGES = 1_000_000
_N_SAMPLED = 1000
_MANY = 200  # distinct numbers, from which on they are drawn row by row


@dataclass
class Neighborhood:
    """Some nodes and edges of a large graph.

    Attributes
    ----------
    nodes : ndarray of shape (m,)
        Positions in the large graph, the seeds first, and the others hop by hop.
    incoming : scipy.sparse.csr_array of shape (m, m)
        Row `j` lists the edges that end at ``nodes[j]``; none for the outermost nodes.
    sizes : list of int
        How many of the nodes are within 0, 1, ... hops.
    """

    nodes: np.ndarray
    incoming: sp.csr_array
    sizes: list[int]

    def hops(self):
        """The edges that each hop follows, from the outermost one to the seeds.

        Returns
        -------
        hops : list of scipy.sparse.csr_array of shape (n_targets, n_sources)
        """
        if len(self.sizes) == 1:
            return [self.incoming]
        return [self._rows(*sizes) for sizes in zip(self.sizes[-2::-1], self.sizes[:0:-1])]

    def _rows(self, n_targets, n_sources):
        indptr = self.incoming.indptr[: n_targets + 1]
        entries = slice(indptr[-1])
        pieces = self.incoming.data[entries], self.incoming.indices[entries], indptr
        return sp.csr_array(pieces, shape=(n_targets, n_sources))


class LargeGraph:
    """A graph that stays where it is, in memory or on disk, and is read piece by piece.

    Parameters
    ----------
    graph : Graph
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(self, graph, device="cpu", dtype=torch.float32):
        whole = graph._whole
        self.n_nodes = whole.n_nodes
        self.incoming = whole.incoming_rows
        self.degree = whole.degree
        self.features = whole.feature_rows
        self.device = torch.device(device)
        self.dtype = dtype
        self._cache = whole.cache
        self._X = self._readable(self.features)
        most = max(self.n_nodes, len(self.incoming.indices))  # nodes or edges, see `_distinct`
        self._place = np.full(self.n_nodes, -1, np.int32 if most < 2**31 else np.int64)

    def neighborhood(self, seeds, n_hops, n_neighbors=None, rng=None, most=None):
        """The seeds and what they see in `n_hops` hops, every node expanded once.

        Parameters
        ----------
        seeds : ndarray of shape (n_seeds,)
            Distinct nodes.
        n_hops : int
        n_neighbors : int or None
            Incoming edges that are kept of every node, drawn without replacement; the weights
            of a node's kept edges grow by the ratio of all to kept ones, so that their sum is
            right on average.  None keeps all.
        rng : RandomState
        most : int or None
            Give up where more nodes than these are seen one hop earlier.

        Returns
        -------
        Neighborhood or None
        """
        layers, counts = [seeds], []
        columns, values = [np.empty(0, self._place.dtype)], [np.empty(0, np.float32)]
        self._place[seeds] = np.arange(len(seeds))
        n_found = len(seeds)
        for _ in range(n_hops):
            if most is not None and n_found > most:
                self._place[np.concatenate(layers)] = -1
                return None
            count, sources, weights = self._edges(layers[-1], n_neighbors, rng)
            new = self._distinct(sources[self._place[sources] < 0])
            self._place[new] = np.arange(n_found, n_found + len(new))
            n_found += len(new)
            layers.append(new)
            counts.append(count)
            columns.append(self._place[sources])
            values.append(weights)
        nodes = np.concatenate(layers)
        self._place[nodes] = -1
        counts.append(np.zeros(len(layers[-1]), dtype=np.int64))
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        pieces = np.concatenate(values), np.concatenate(columns), indptr
        incoming = sp.csr_array(pieces, shape=(n_found, n_found))
        incoming.sort_indices()  # self-loops are added to sorted rows in less time
        sizes = np.cumsum([len(layer) for layer in layers]).tolist()
        return Neighborhood(nodes, incoming, sizes)

    def _distinct(self, nodes):
        """Each of them once, sorted, by writing to `_place`: faster than by hashing."""
        order = np.arange(len(nodes))
        self._place[nodes] = order
        return np.sort(nodes[self._place[nodes] == order])

    def _edges(self, targets, n_neighbors, rng):
        """How many edges of each target are kept, their sources and their weights."""
        if n_neighbors is None:
            rows = self.incoming[targets]
            return np.diff(rows.indptr), rows.indices, rows.data
        start, count = self.incoming.extents(targets)
        kept = np.minimum(count, n_neighbors)
        positions, indptr = consecutive(start, kept)
        many = np.flatnonzero(count > n_neighbors)
        if len(many):
            places = indptr[many, None] + np.arange(n_neighbors)
            positions[places] = start[many, None] + draw_distinct(count[many], n_neighbors, rng)
        sources, weights = self.incoming.entries(positions)
        ratio = (count / np.maximum(kept, 1)).astype(weights.dtype)
        return kept, sources, weights * np.repeat(ratio, kept)

    def tensors(self, neighborhood, h=None, kept=False, averages_over=None):
        """The neighbourhood for a backbone, with the node features or the rows of `h`.

        Edges are normalised by the degrees in the large graph.  The logits are those of the seeds.
        With `averages_over`, the backbone's, the outermost nodes have features that are `averaged`,
        and the neighbourhood is one hop smaller.
        """
        nodes = neighborhood.nodes
        degree, x = self.degree[nodes], self._rows(nodes, h)
        hops = [
            EdgeTensors(hop.T, self.device, self.dtype, degree[: hop.shape[1]])
            for hop in reversed(neighborhood.hops())
        ]
        averages = None
        if averages_over is not None:
            rows = torch.from_numpy(self.averaged(averages_over))
            averages = averages_over, rows.index_select(0, torch.from_numpy(nodes)).to(self.device)
            to_itself = EdgeTensors(sp.eye_array(len(nodes)), self.device, self.dtype)
            hops = [*hops[: len(neighborhood.sizes) - 1], to_itself]
        *inner, first = hops
        graph = None
        for edges in inner:
            graph = GraphTensors(edges, None, inner=graph)
        return GraphTensors(first, x, kept, graph, averages)

    def sample(self, seeds, n_hops, n_neighbors, rng, averages_over=None):
        """What the logits of distinct seeds depend on, with few neighbours of each node.

        Parameters
        ----------
        seeds, n_hops, n_neighbors, rng
            See `neighborhood`.
        averages_over : {"symmetric", "mean"} or None
            The backbone's.  Dense features are averaged over all neighbours, see `averaged`, and
            the outermost hop of the sample is spent on more neighbours in the others:
            ``n_neighbors ** n_hops`` nodes per seed at most, as without.

        Returns
        -------
        tensors : GraphTensors
        """
        if not self._in_advance(averages_over):
            return self.tensors(self.neighborhood(seeds, n_hops, n_neighbors, rng))
        if n_hops > 1:
            n_neighbors = min(n_neighbors, self.n_nodes)
            n_neighbors = min(int(n_neighbors ** (n_hops / (n_hops - 1))), self.n_nodes)
        neighborhood = self.neighborhood(seeds, n_hops - 1, n_neighbors, rng)
        return self.tensors(neighborhood, averages_over=averages_over)

    def _in_advance(self, averages_over):
        """Whether the features are averaged in advance: those that are not sparse on a device."""
        X = self.features
        sparse = isinstance(X, Rows) and stays_sparse(len(X.data), self.n_nodes * X.n_columns)
        return averages_over is not None and not sparse

    def averaged(self, name):
        """The features of all nodes, and a column of ones, averaged over incoming edges.

        Made once, and kept with the graph: as much as dense features take, in memory or, where
        the features lie on disk, in a temporary file.

        Parameters
        ----------
        name : {"symmetric", "mean"}
            The form of the edges, see `EdgeTensors`.

        Returns
        -------
        averages : ndarray of shape (n, d + 1)
        """
        key = name, self.dtype, str(self.device)
        if key not in self._cache:  # fits hold a lock: no other thread makes the same
            values = self.features.data if isinstance(self.features, Rows) else self.features
            make = _on_disk if is_mapped(values) else np.empty
            stage = partial(_average_features, name)
            self._cache[key] = self._run(1, stage, np.arange(self.n_nodes), None, make)
        return self._cache[key]

    def _rows(self, nodes, h=None):
        """Rows of the features or of `h`, in the form that takes the least copying."""
        readable, check = (self._X, _check_rows) if h is None else (self._readable(h), _trust)
        if readable is not None:
            return SelectedRows(readable, torch.from_numpy(nodes), check)
        x = self.features[nodes] if h is None else h[nodes]
        if sp.issparse(x):
            return x
        x = torch.from_numpy(np.ascontiguousarray(x, x.dtype.newbyteorder("=")))
        check(x, nodes)
        return x

    def _readable(self, X):
        """`X` as a tensor in its place, if that is what the layers compute with, or None."""
        like = torch.empty(0, dtype=self.dtype).numpy()
        if isinstance(X, Rows) or self.device.type != "cpu" or X.dtype != like.dtype:
            return None
        return torch.from_numpy(X) if X.flags.c_contiguous else None

    def run(self, stages, nodes, h=None):
        """The stages of a backbone one by one, each for all nodes that the next one needs.

        Beside the output of two stages only one chunk of nodes is in memory.

        Parameters
        ----------
        stages : list of (int, callable)
            See `_Staged.stages`; in evaluation mode.
        nodes : ndarray of shape (n_selected,)
        h : ndarray of shape (n, d), default=None
            What the first stage starts from, the node features if None.

        Returns
        -------
        h : ndarray of shape (n_selected, k)
            What the last stage gives.
        """
        needed = [np.unique(nodes)]
        for n_hops, _ in stages[:0:-1]:
            needed.append(self._with_neighbors(needed[-1]) if n_hops else needed[-1])
        for n_hops, stage in stages:
            h = self._run(n_hops, stage, needed.pop(), h)
        return h[nodes]

    @torch.no_grad()
    def _run(self, n_hops, stage, nodes, h, make=np.empty):
        """One stage for some nodes; other rows of what it gives are left as they were made."""
        out = None
        for chunk in self._chunks(nodes):
            tensors = self.tensors(self.neighborhood(chunk, n_hops), h)
            values = stage(tensors.x, tensors).cpu().numpy()
            if out is None:  # pages that no row is written to take no memory
                out = make((self.n_nodes, values.shape[1]), values.dtype)
            out[chunk] = values
        return out

    def _with_neighbors(self, nodes):
        """The nodes and those with an edge to one of them."""
        if len(nodes) == self.n_nodes:
            return nodes
        mask = np.zeros(self.n_nodes, dtype=bool)
        mask[nodes] = True
        for chunk in self._chunks(nodes):
            mask[self.incoming[chunk].indices] = True
        return np.flatnonzero(mask)

    def _chunks(self, nodes):
        """The nodes in parts with about a million edges each."""
        _, count = self.incoming.extents(nodes)
        part = np.cumsum(count + 1) // _CHUNK_EDGES
        return np.split(nodes, np.flatnonzero(np.diff(part)) + 1)

    def samples(self, n_hops, batch_size, n_neighbors, averages_over=None):
        """About a thousand nodes and their neighbours, as features are averaged in mini-batches.

        Parameters
        ----------
        n_hops, n_neighbors, averages_over
            See `sample`.
        batch_size : int
            Nodes drawn at once; more where averages are known and a node takes few others, as the
            mean of a few is no estimate of all.

        Yields
        ------
        tensors : GraphTensors
        n_seeds : int
            How many of its nodes, the first ones, have been drawn.
        """
        rng = np.random.RandomState(0)
        drawn = np.unique(rng.randint(self.n_nodes, size=_N_SAMPLED))
        if self._in_advance(averages_over):
            batch_size = max(batch_size, len(drawn) if n_hops == 1 else 100)
        for start in range(0, len(drawn), batch_size):
            seeds = drawn[start : start + batch_size]
            yield self.sample(seeds, n_hops, n_neighbors, rng, averages_over), len(seeds)

    @property
    def neighbor_mean(self):
        """Stands in for `EdgeTensors.neighbor_mean` in a product."""
        return _NeighborMean(self)


def _average(name, h, graph):
    """A stage that averages over neighbours and does nothing else."""
    return getattr(graph.edges, name) @ h


def _average_features(name, x, graph):
    """The same for features, and for a column of ones."""
    edges = getattr(graph.edges, name)
    x = x.to_dense() if isinstance(x, SparseMatrix) else x
    ones = torch.ones(x.shape[0], 1, dtype=graph.edges.dtype, device=graph.edges.device)
    return torch.cat([edges @ x, edges @ ones], 1)


def _on_disk(shape, dtype):
    """An array in a temporary file, which is gone with it."""
    size = math.prod(shape) * dtype.itemsize
    with tempfile.TemporaryFile() as file:
        try:
            if hasattr(os, "posix_fallocate"):  # or a full disk would end the process
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            error.add_note(
                f"Averages of the features take {size / 2**30:.3g} GiB of a temporary file in "
                f"{tempfile.gettempdir()}. Set TMPDIR to a folder on a disk with more room."
            )
            raise
        return np.memmap(file, dtype, "w+", shape=shape)


class _NeighborMean:
    def __init__(self, graph):
        self.graph = graph

    def __matmul__(self, x):
        stage = (1, partial(_average, "neighbor_mean"))
        mean = self.graph.run([stage], np.arange(self.graph.n_nodes), x.cpu().numpy())
        return torch.from_numpy(mean).to(x.device)


def _check_rows(x, nodes):
    narrow = as_float32(x.numpy())
    if not np.isfinite(narrow).all():
        row, column = first_not_finite(narrow)
        raise ValueError(
            "X must be finite and within the range of float32, got "
            f"{x[row, column].item()} in row {nodes[row]}, column {column}."
        )


def _trust(x, nodes):
    """Hidden layers are not looked at."""


def draw_distinct(count, k, rng):
    """For every row `k` distinct numbers below its count, which is `k` at least.

    Floyd's algorithm, for all rows at once or, as that compares all pairs, row by row: its cost
    does not depend on the counts.

    Parameters
    ----------
    count : ndarray of shape (n_rows,)
    k : int
    rng : RandomState

    Returns
    -------
    numbers : ndarray of shape (n_rows, k)
    """
    if k > _MANY:
        generator = np.random.default_rng(rng.randint(2**31))
        return np.stack([generator.choice(n, k, replace=False, shuffle=False) for n in count])
    numbers = np.empty((k, len(count)), dtype=np.int64)
    for i in range(k):
        top = count - k + i
        number = (rng.random_sample(len(count)) * (top + 1)).astype(np.int64)
        repeated = (numbers[:i] == number).any(axis=0)
        numbers[i] = np.where(repeated, top, number)
    return numbers.T


def stages_of(module, hidden=False):
    """The stages of a backbone, or those of its last hidden layer.

    Raises
    ------
    ValueError
        If it has none.
    """
    if not hasattr(module, "stages"):
        raise ValueError(
            "batch_size needs a backbone that works hop by hop on few hops: 'gcn', 'gat', 'sage', "
            "'sgc' or 'mlp'; got 'appnp', whose ten hops reach most of a graph, or a module of "
            "your own. Choose one of these, or set batch_size=None."
        )
    return (hidden and module.hidden_stages()) or module.stages()


def receptive_field(module, graph, nodes, device, most_hidden=0.75):
    """What of the graph the logits of some nodes depend on; they are those of the nodes alone.

    Parameters
    ----------
    module : torch.nn.Module
    graph : Graph
    nodes : ndarray of shape (n_selected,)
        Distinct nodes.
    device : torch.device
    most_hidden : float
        Share of the graph's nodes that the first hidden layer may have.

    Returns
    -------
    field : GraphTensors or None
        None where it would save little, or `module` does not work hop by hop.
    """
    most = int(most_hidden * graph.n_nodes)
    if not hasattr(module, "stages") or len(nodes) > most:
        return None
    large, n_hops = LargeGraph(graph, device), sum(n_hops for n_hops, _ in module.stages())
    neighborhood = large.neighborhood(nodes, n_hops, most=most)
    return None if neighborhood is None else large.tensors(neighborhood, kept=True)
