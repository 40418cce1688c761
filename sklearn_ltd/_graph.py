"""`Graph`: one whole attributed graph and a selection of its nodes."""

from collections.abc import Iterable
from os import PathLike
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from . import _convert
from ._checks import (
    check_adjacency,
    check_feature_names,
    check_features,
    check_index,
    check_names,
    names_of,
    rows_by_name,
)
from ._labels import align_series, is_mask
from ._storage import open_folder, save_folder
from ._typing import GraphLike, Matrix
from ._whole import Whole


class Graph:
    """An attributed graph and a selection of its nodes, which scikit-learn can slice.

    ``graph[index]`` selects nodes.  The whole graph stays: a classifier that is fitted
    on ``graph[train]`` passes messages over all nodes and reads labels for the selected
    ones only (transductive learning).  No array is copied: don't change one in place afterwards.

    Parameters
    ----------
    adjacency : scipy sparse matrix or array, ndarray or DataFrame of shape (n, n)
        ``adjacency[i, j]`` is the weight of the edge from node i to node j: finite, not
        negative, 0 for no edge.  An undirected graph has a symmetric adjacency.
        Duplicate entries are added up.  The index of a DataFrame holds the `node_names`.
    X : array-like, scipy sparse matrix or DataFrame of shape (n, n_features), default=None
        Node features, dense or sparse; in training sparse ones stay so where that takes less memory
        (fewer than a quarter of the entries), but for a network of your own.
        The rows of a DataFrame whose index holds the `node_names` are put in that order.
        Without features the estimators use structural ones: the leading 64 singular directions of
        the normalised adjacency (with many connected components only the 32 largest have them) and
        the logarithm of the degree.
    node_names : sequence of n hashables, default=None
        The user's names of the nodes; their positions if not given.

    Attributes
    ----------
    nodes : ndarray of shape (n_selected,)
        Positions of the selected nodes in the whole graph.
    feature_names : ndarray of str or None
        Column names, where `X` is a DataFrame whose columns are all strings.

    See Also
    --------
    as_graph : Turn networkx graphs, sparse matrices and PyG data into a `Graph`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ltd import Graph
    >>> adjacency = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> graph = Graph(adjacency, X=np.eye(3), node_names=["a", "b", "c"])
    >>> graph
    Graph(n_nodes=3, n_edges=4, n_features=3)
    >>> graph[[2, 0]].node_names
    array(['c', 'a'], dtype='<U1')
    >>> graph[[2, 0]].shape
    (2, 3)
    """

    # A sequence with a length would otherwise be iterated node by node.
    __iter__ = None

    nodes: npt.NDArray[np.intp]

    def __init__(
        self, adjacency: Matrix, X: Matrix = None, *, node_names: Iterable[Any] | None = None
    ) -> None:
        if node_names is None:
            node_names = names_of(adjacency)
        adjacency = check_adjacency(adjacency)
        n_nodes = adjacency.shape[0]
        names = None if node_names is None else check_names(node_names, n_nodes)
        X, feature_names = check_features(rows_by_name(X, names), n_nodes)
        self._whole = Whole(adjacency, X, names, feature_names)
        self.nodes = np.arange(n_nodes)

    @classmethod
    def from_networkx(
        cls, G: Any, X: str | list[str] | Matrix = "x", *, weight: str | None = "weight"
    ) -> Self:
        """Convert a networkx graph, directed or not; the node order is ``list(G)``.

        Parameters
        ----------
        G : networkx.Graph, DiGraph, MultiGraph or MultiDiGraph
            Weights of parallel edges are added up.
        X : str, list of str, DataFrame, array-like of shape (n, n_features) or None, default="x"
            The node attribute with the features (a number or a vector), or several
            attributes with a number each.  Or the features: a DataFrame indexed by node, or an
            array with rows in the order of ``list(G)``.  No features if None, or if it is "x" and
            no node has it; other attributes are not read.
        weight : str or None, default="weight"
            The edge attribute with the weight; 1 where an edge has none.

        Returns
        -------
        Graph

        Raises
        ------
        ValueError
            If some nodes lack the attribute, or its lengths differ; if the index of a DataFrame is
            not that of the nodes; or if no edge has the weight that is named.

        Examples
        --------
        >>> import networkx as nx
        >>> from sklearn_ltd import Graph
        >>> G = nx.path_graph(["a", "b", "c"])
        >>> nx.set_node_attributes(G, {"a": [0, 1], "b": [1, 0], "c": [1, 1]}, "x")
        >>> Graph.from_networkx(G)
        Graph(n_nodes=3, n_edges=4, n_features=2)
        >>> import pandas as pd
        >>> people = pd.DataFrame({"age": [30, 40, 50]}, index=["c", "b", "a"])
        >>> Graph.from_networkx(G, people).X.ravel().tolist()
        [50.0, 40.0, 30.0]
        """
        graph = cls(**_convert.from_networkx(G, X, weight))
        several = X is not None and not isinstance(X, str) and not _convert.is_matrix(X)
        if several and graph.shape[1] == len(X):
            graph._whole.feature_names = np.asarray(X, dtype=object)
        return graph

    @classmethod
    def from_pyg(cls, data: Any) -> Self:
        """Convert a ``torch_geometric.data.Data`` with `edge_index` and, if any, `x`.

        One-dimensional `edge_weight` or `edge_attr` are the weights; duplicates add up.

        Parameters
        ----------
        data : torch_geometric.data.Data

        Returns
        -------
        Graph

        Examples
        --------
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from sklearn_ltd import Graph
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> Graph.from_pyg(Data(x=torch.eye(2), edge_index=edge_index))
        Graph(n_nodes=2, n_edges=2, n_features=2)
        """
        return cls(**_convert.from_pyg(data))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the whole graph to a folder, from which `open` reads it without loading it.

        The pieces are plain ``.npy`` files beside a small ``graph.json``, which is replaced last:
        a save that is interrupted leaves the graph that was there before.  The selection is
        not saved.

        Parameters
        ----------
        folder : str or Path
            Made if it is not there; else it must be empty or hold a saved graph, which is
            replaced.

        Raises
        ------
        FileExistsError
            If the folder holds other things.
        TypeError
            If the node names are not all strings or all integers.

        Examples
        --------
        >>> import tempfile
        >>> from sklearn_ltd import Graph
        >>> from sklearn_ltd.datasets import make_attributed_sbm
        >>> folder = tempfile.mkdtemp()
        >>> make_attributed_sbm(n_nodes=100, n_features=8, random_state=0).graph.save(folder)
        >>> Graph.open(folder).shape
        (100, 8)
        """
        save_folder(self._whole, folder)

    @classmethod
    def open(cls, folder: str | PathLike[str], mmap: bool = True) -> Self:
        """Open a graph that `save` has written.

        Parameters
        ----------
        folder : str or Path
        mmap : bool, default=True
            Leave the pieces on disk, read what is needed when it is needed, and share the
            pages with other processes: pickling passes the path on.  Sizes are checked at
            once, the contents where they are used: by the batch with `batch_size`, else in
            full.  False reads and checks everything at once.

        Returns
        -------
        Graph
            All nodes are selected.

        Raises
        ------
        FileNotFoundError
            If there is no saved graph.
        ValueError
            If the folder is damaged.
        """
        graph = object.__new__(cls)
        graph._whole = open_folder(folder, mmap)
        graph.nodes = np.arange(graph.n_nodes)
        return graph

    @property
    def adjacency(self) -> Any:
        """CSR array of shape (n, n): the edges of the whole graph."""
        return self._whole.adjacency

    @property
    def X(self) -> Any:
        """Features of all nodes, shape (n, n_features), dense or CSR; None if there are none."""
        return self._whole.X

    @property
    def features(self) -> Any:
        """`X`, or the structural features of a graph without."""
        return self._whole.features

    @property
    def feature_names(self) -> npt.NDArray[Any] | None:
        return self._whole.feature_names

    @property
    def node_names(self) -> npt.NDArray[Any]:
        """Names of the selected nodes; their positions if none were given."""
        names = self._whole.node_names
        return self.nodes if names is None else names[self.nodes]

    @property
    def has_node_names(self) -> bool:
        """Whether the nodes were given names of their own."""
        return self._whole.node_names is not None

    @property
    def n_nodes(self) -> int:
        """Number of nodes of the whole graph."""
        return self._whole.n_nodes

    @property
    def n_edges(self) -> int:
        """Number of edges of the whole graph; an undirected one is stored in both directions."""
        return self._whole.n_edges

    @property
    def size(self) -> int:
        """Numbers stored for the whole graph: edges and features."""
        return self._whole.size

    @property
    def shape(self) -> tuple[int, int]:
        """(n_selected, n_features)."""
        return len(self.nodes), self._whole.n_features

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index: Any) -> Self:
        """A view of some of the selected nodes: by positions among them, a mask or a slice."""
        if isinstance(index, tuple):
            if len(index) != 2 or index[1] is not Ellipsis:
                raise TypeError(
                    f"a Graph has one axis, its nodes, got the index {index!r}. "
                    "Select or change features with NodeFeatures(transformer)."
                )
            index = index[0]
        if is_mask(index):
            index = align_series(index, self, "mask", missing=False)
        view = object.__new__(type(self))
        view._whole = self._whole
        view.nodes = np.ascontiguousarray(
            self.nodes[check_index(index, len(self))]
        )  # torch wants it
        return view

    def positions(self, names: Iterable[Any]) -> npt.NDArray[np.intp]:
        """Where the nodes with these names stand among the selected ones, in their order.

        Parameters
        ----------
        names : sequence of node names

        Returns
        -------
        positions : ndarray of shape (n_names,)

        Raises
        ------
        KeyError
            If a name is not that of a selected node.
        TypeError
            If `names` is one string.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ltd import Graph
        >>> graph = Graph(np.ones((3, 3)), node_names=["a", "b", "c"])
        >>> graph[graph.positions(["c", "a"])].node_names
        array(['c', 'a'], dtype='<U1')
        """
        if isinstance(names, str):
            raise TypeError(f"names must be a list of node names, got {names!r}. Pass [{names!r}].")
        where = {name: position for position, name in enumerate(self.node_names.tolist())}
        names = list(names)
        strange = [name for name in names if name not in where]
        if strange:
            raise KeyError(
                f"{len(strange)} of {len(names)} names are no selected nodes, e.g. {strange[0]!r}. "
                "See graph.node_names."
            )
        return np.array([where[name] for name in names], dtype=np.intp)

    @property
    def whole(self) -> Self:
        """The same graph with all nodes selected, in their order."""
        view = object.__new__(type(self))
        view._whole = self._whole
        view.nodes = np.arange(self.n_nodes)
        return view

    def induced(self) -> "Graph":
        """The subgraph of the selected nodes only, as a graph of its own.

        Where ``graph[train]`` keeps all nodes and edges, ``graph[train].induced()`` drops
        the others: training on it sees nothing of the test nodes (inductive learning).

        Returns
        -------
        Graph

        Examples
        --------
        >>> from sklearn_ltd.datasets import load_karate_club
        >>> graph = load_karate_club().graph
        >>> graph[:10].induced()
        Graph(n_nodes=10, n_edges=36, no features)
        """
        nodes = self.nodes
        names = self._whole.node_names
        part = Graph(
            self.adjacency[nodes][:, nodes], node_names=None if names is None else names[nodes]
        )
        return part if self.X is None else part.with_features(self.X[nodes], self.feature_names)

    def with_features(self, X: Matrix, feature_names: Iterable[str] | None = None) -> Self:
        """The same graph and selection with other features.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse matrix of shape (n, k)
            A row for every node of the whole graph; a DataFrame is put in their order by its index
            as by `Graph`.
        feature_names : sequence of str, default=None

        Returns
        -------
        Graph
        """
        return self._replace_features(rows_by_name(X, self._whole.node_names), feature_names)

    def _replace_features(self, X, feature_names=None):
        """`with_features` of rows that are in the order of the nodes, whatever their index."""
        X, names = check_features(X, self.n_nodes)
        other = self[:]
        if feature_names is not None:
            names = check_feature_names(feature_names, X)
        other._whole = Whole(self.adjacency, X, self._whole.node_names, names)
        other._whole.edge_cache = self._whole.edge_cache
        return other

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError(
            "a Graph is not an array: its features alone would lose the edges. This estimator "
            "expects a feature matrix, pass graph.X[graph.nodes]; or use GNNNodeClassifier or "
            "LTDNodeClassifier, which take a Graph (NodeFeatures wraps a transformer)."
        )

    def __sizeof__(self) -> int:
        """Bytes to send: by them joblib on Dask decides to send a graph once."""
        return self._whole.nbytes + self.nodes.nbytes

    def __repr__(self) -> str:
        parts = [f"n_nodes={self.n_nodes}", f"n_edges={self.n_edges}"]
        has_features = self._whole.has_features
        parts.append(f"n_features={self.shape[1]}" if has_features else "no features")
        if len(self) != self.n_nodes or (self.nodes != np.arange(self.n_nodes)).any():
            parts.append(f"n_selected={len(self)}")
        return f"Graph({', '.join(parts)})"


def as_graph(obj: GraphLike) -> Graph:
    """Turn whatever the estimators accept into a `Graph`.

    Parameters
    ----------
    obj : Graph, networkx graph, scipy sparse matrix, (adjacency, X) or PyG Data
        A `Graph` is returned as it is.

    Returns
    -------
    Graph

    Raises
    ------
    TypeError
        If `obj` is none of these, for example a feature matrix, or a networkx graph that
        scikit-learn has sliced.
    ValueError
        If the adjacency is not square or has invalid weights, or the features don't fit.

    Examples
    --------
    >>> import networkx as nx
    >>> from sklearn_ltd import as_graph
    >>> as_graph(nx.path_graph(4))
    Graph(n_nodes=4, n_edges=6, no features)
    """
    if isinstance(obj, Graph):
        return obj
    if _convert.is_networkx(obj):
        return Graph.from_networkx(obj)
    if sp.issparse(obj):
        return Graph(obj)
    if isinstance(obj, tuple) and len(obj) == 2:
        return Graph(*obj)
    if hasattr(obj, "edge_index") or hasattr(obj, "edge_index_dict"):
        return Graph.from_pyg(obj)
    raise TypeError(_convert.explain(obj))
