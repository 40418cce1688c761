"""Learning to distill graph neural networks, as scikit-learn classifiers."""

from ._convert import as_graph
from ._gnn import GNNNodeClassifier
from ._graph import Graph
from ._ltd import LTDNodeClassifier

__version__ = "0.1.0"
__all__ = ["GNNNodeClassifier", "Graph", "LTDNodeClassifier", "as_graph"]
