"""A user's script, which ``mypy --strict`` has to accept; `test_typing.py` lets it."""

from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from sklearn_ltd import (
    GNNNodeClassifier,
    Graph,
    KNNGraph,
    LTDNodeClassifier,
    NodeFeatures,
    as_graph,
)
from sklearn_ltd.datasets import load_karate_club, load_npz, make_attributed_sbm
from sklearn_ltd.model_selection import assign_roles


def graphs(path: Path) -> list[Graph]:
    adjacency = sp.csr_array((3, 3))
    plain = Graph(adjacency, np.eye(3), node_names=["a", "b", "c"])
    view: Graph = plain[[0, 2]][::-1]
    named = Graph.from_networkx(nx.path_graph(4), X=["age", "salary"], weight=None)
    size: int = len(view) + plain.n_nodes + view.whole.shape[1]
    print(size, plain.has_node_names)
    return [view.induced(), named, as_graph(adjacency), plain.with_features(np.ones((3, 2)))]


def distil(graph: Graph, y: npt.ArrayLike) -> float:
    role: npt.NDArray[np.str_] = assign_roles(y, 2, 2, 1, random_state=0)
    teacher = GNNNodeClassifier("gat", hidden_dim=32, random_state=np.random.RandomState(0))
    clf = LTDNodeClassifier(teacher, "gcn", temperature=1.0, class_weight="balanced")
    proba: npt.NDArray[np.float64] = clf.fit(graph, y, role=role).predict_proba(graph)
    tau: npt.NDArray[np.float32] = clf.temperatures_
    losses: list[dict[str, float]] = clf.history_
    accuracy: float = clf.score(graph, y)
    return accuracy + float(proba.sum()) + float(tau.mean()) + losses[-1]["loss"] + clf.n_iter_


def table(X: npt.NDArray[np.float64], transformer: object) -> Graph:
    graph: Graph = KNNGraph(5, metric="cosine").fit_transform(X)
    return NodeFeatures(transformer).fit(graph).transform(graph)


def main(path: Path) -> None:
    club, data = load_karate_club(), load_npz(path)
    block = make_attributed_sbm(n_nodes=100, random_state=0)
    print(distil(club.graph, club.y), distil(data.graph, data.y), distil(block.graph, block.y))
