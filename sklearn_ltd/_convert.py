"""From networkx and PyG to the arguments of `Graph`; what to say of anything else."""

import sys
from collections.abc import Hashable

import numpy as np
import scipy.sparse as sp


def is_networkx(obj):
    """Whether `obj` is a networkx graph; networkx is not imported for that."""
    networkx = sys.modules.get("networkx")
    return networkx is not None and isinstance(obj, networkx.Graph)


def explain(obj):
    """Why `obj` is no graph, and what to do, above all if scikit-learn sliced it."""
    first = obj[0] if isinstance(obj, list) and obj else None
    if type(first).__name__ in ("AtlasView", "AdjacencyView", "FilterAtlas", "FilterAdjacency"):
        return (
            "got a list of networkx AtlasViews: scikit-learn sliced a networkx graph; "
            "pass Graph.from_networkx(G), which it can slice."
        )
    shape = getattr(obj, "shape", None)
    if shape is not None:
        return (
            f"expected a graph, got {type(obj).__name__} of shape {tuple(shape)}. "
            "For a feature matrix (rows are samples) build a graph by make_pipeline(KNNGraph(), "
            "classifier); for an adjacency matrix pass Graph(adjacency, X). Reshape your data "
            "either way if it is not 2-D."
        )
    return (
        "expected a Graph, a networkx graph, a scipy sparse adjacency, a pair (adjacency, X) or "
        f"a torch_geometric Data, got {type(obj).__name__}. Build one by Graph(adjacency, X)."
    )


def from_networkx(G, X, weight):
    """Arguments of `Graph` for a networkx graph."""
    import networkx as nx

    if not is_networkx(G):
        advice = "Use as_graph(obj)."
        if hasattr(G, "columns"):
            advice = "Make one of a table of edges by networkx.from_pandas_edgelist(table, ...)."
        raise TypeError(f"expected a networkx graph, got {type(G).__name__}. {advice}")
    if len(G) == 0:
        raise ValueError("the graph is empty: networkx graph with 0 nodes, expected at least 1.")
    if weight not in (None, "weight") and not _on_any_edge(G, weight):
        raise ValueError(
            f"no edge has the attribute {weight!r}. Pass the name of one that holds weights, or "
            "weight=None for weights of 1."
        )
    try:
        adjacency = nx.to_scipy_sparse_array(G, weight=weight, dtype=np.float64, format="csr")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the edge attribute {weight!r} must hold numbers ({error}). Pass its name as "
            "Graph.from_networkx(G, weight=...), or weight=None for weights of 1."
        ) from error
    return {"adjacency": adjacency, "X": _node_attribute(G, X), "node_names": list(G)}


def _on_any_edge(G, attribute):
    return not G.size() or any(attribute in data for *_, data in G.edges(data=True))


def is_matrix(X):
    """Whether these are features, not names of attributes."""
    nested = isinstance(X, list) and not all(isinstance(name, Hashable) for name in X)
    return nested or getattr(X, "ndim", None) == 2


def _node_attribute(G, X):
    if X is None or is_matrix(X):
        return X
    attributes = [X] if isinstance(X, str) else list(X)
    if not attributes:
        raise ValueError("X names no node attribute, got []. Pass X=None for no features.")
    if X == "x" and not any("x" in data for _, data in G.nodes(data=True)):
        return None
    rows = []
    for node, data in G.nodes(data=True):
        missing = [a for a in attributes if data.get(a) is None]
        if missing:
            raise ValueError(
                f"node {node!r} has no attribute {missing[0]!r}. Give it one on every node "
                "(networkx.set_node_attributes), or pass X=None for a graph without features."
            )
        rows.append(np.concatenate([np.atleast_1d(data[a]) for a in attributes]))
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise ValueError(
            f"the node attribute {X!r} must have one length, got lengths {lengths[0]} to "
            f"{lengths[-1]}."
        )
    matrix = np.stack(rows)
    if matrix.dtype.kind not in "buif":
        node, name = next(
            (node, name)
            for node, data in G.nodes(data=True)
            for name in attributes
            if np.asarray(data[name]).dtype.kind not in "buif"
        )
        raise ValueError(
            f"the node attribute {name!r} must hold numbers, got {G.nodes[node][name]!r} at node "
            f"{node!r}. Encode it first, for example a DataFrame of all by pd.get_dummies(frame), "
            "and pass X=frame."
        )
    return matrix


def from_pyg(data):
    """Arguments of `Graph` for a PyG ``Data``."""
    if not hasattr(data, "edge_index") or data.edge_index is None:
        raise TypeError(
            f"expected a torch_geometric Data with edge_index, got {type(data).__name__}. "
            "Heterogeneous data: pass data.to_homogeneous()."
        )
    source, target = data.edge_index.cpu().numpy()
    x = getattr(data, "x", None)
    n_nodes = data.num_nodes if hasattr(data, "num_nodes") else len(x)
    weights = getattr(data, "edge_weight", None)
    if weights is None:
        weights = getattr(data, "edge_attr", None)
    if weights is None or (weights.dim() > 1 and weights.shape[1] > 1):
        values = np.ones(len(source), dtype=np.float32)
    else:
        values = weights.detach().cpu().numpy().reshape(-1)
    if len(source) and (
        min(source.min(), target.min()) < 0 or max(source.max(), target.max()) >= n_nodes
    ):
        raise ValueError(
            f"edge_index has node numbers outside 0 .. {n_nodes - 1} (num_nodes is {n_nodes})."
        )
    if len(values) != len(source):
        raise ValueError(
            f"edge_weight or edge_attr has {len(values)} entries for {len(source)} edges."
        )
    adjacency = sp.coo_array((values, (source, target)), shape=(n_nodes, n_nodes))
    return {"adjacency": adjacency, "X": None if x is None else _features(x)}


def _features(x):
    import torch

    x = x.detach().cpu()
    if x.layout == torch.strided:
        return x.numpy()
    x = x.to_sparse_csr()
    pieces = (x.values().numpy(), x.col_indices().numpy(), x.crow_indices().numpy())
    return sp.csr_array(pieces, shape=tuple(x.shape))
