"""Learning to distill graph neural networks, as scikit-learn classifiers."""

from ._features import NodeFeatures
from ._gnn import GNNNodeClassifier
from ._graph import Graph, as_graph
from ._knn import KNNGraph
from ._ltd import LTDNodeClassifier

__version__ = "0.1.0"
__all__ = [
    "GNNNodeClassifier",
    "Graph",
    "KNNGraph",
    "LTDNodeClassifier",
    "NodeFeatures",
    "as_graph",
]
