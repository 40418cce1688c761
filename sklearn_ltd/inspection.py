"""Displays of a fitted classifier: its temperatures, its training, a map of its nodes.

They follow scikit-learn's: ``from_estimator`` computes and draws, ``plot`` draws again, and
`figure_` and `ax_` (or `axes_`) are what was drawn on.  Drawing needs matplotlib.
"""

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from . import _drawing
from ._base import graph_tensors
from ._distill import neighbor_entropy
from ._graph import as_graph
from ._labels import align_labels, is_unknown

__all__ = ["NodeMapDisplay", "TemperatureDisplay", "TrainingCurveDisplay"]

_MOST_NAMES = 50


class TemperatureDisplay:
    """Learned temperatures against what they may depend on.

    Use `from_estimator`, or `from_predictions` for numbers of your own.

    Parameters
    ----------
    temperatures : ndarray of shape (n,)
    against : ndarray of shape (n,)
        The other quantity, see `kind`.
    kind : {"class", "norm", "entropy", "initial", "teacher"}, default="class"
        - "class": labels; a box for each class.
        - "norm": ``||z_v||_2``, the norms of the student's logits; with ``refit=False`` of the
          one that the temperatures were learned with.
        - "entropy": ``H_v``, the entropies of the teacher's mean prediction over the neighbours.
        - "initial": the temperatures before the first epoch.
        - "teacher": whether the teacher is wrong; nodes with a negative temperature against
          the others or, where none is negative, those below the median against the others.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    See Also
    --------
    TrainingCurveDisplay : How the temperatures came about.
    NodeMapDisplay : Where in the graph they are.

    Examples
    --------
    >>> from sklearn_ltd import LTDNodeClassifier
    >>> from sklearn_ltd.datasets import make_attributed_sbm
    >>> from sklearn_ltd.inspection import TemperatureDisplay
    >>> data = make_attributed_sbm(n_nodes=200, random_state=0)
    >>> clf = LTDNodeClassifier(random_state=0, max_iter=40).fit(data.graph[:60], data.y[:60])
    >>> display = TemperatureDisplay.from_estimator(clf, data.graph, kind="norm")
    >>> display.ax_.get_ylabel()
    'temperature'
    """

    def __init__(self, temperatures, against, *, kind="class"):
        self.temperatures = temperatures
        self.against = against
        self.kind = kind

    @classmethod
    def from_estimator(cls, estimator, graph, y=None, *, kind="class", ax=None):
        """Draw the temperatures of the selected nodes.

        Parameters
        ----------
        estimator : LTDNodeClassifier
            Fitted.
        graph : Graph or anything `as_graph` accepts
            The training graph, or a view of it.
        y : array-like of shape (n_selected,), or dict or Series keyed by node name, default=None
            True labels; nodes without one are left out.  "class" takes the predicted ones
            where none are given, "teacher" needs them.
        kind : {"class", "norm", "entropy", "initial", "teacher"}, default="class"
        ax : matplotlib Axes, default=None
            A new figure if not given.

        Returns
        -------
        display : TemperatureDisplay

        Raises
        ------
        ValueError
            If there are no temperatures of these nodes, the kind is unknown, or "teacher"
            lacks labels.
        """
        compute, _ = _kind(kind)
        graph, y = _labeled(estimator, graph, y)
        temperatures = _temperatures(estimator, graph)
        if temperatures is None:
            raise ValueError(
                f"this {type(estimator).__name__} has no temperatures of a graph with "
                f"{graph.n_nodes} nodes. Pass a fitted LTDNodeClassifier (pipe[-1] of a pipeline) "
                "and its training graph."
            )
        return cls(temperatures, compute(estimator, graph, y), kind=kind).plot(ax)

    @classmethod
    def from_predictions(cls, temperatures, against, *, kind="class", ax=None):
        """Draw given temperatures.

        Parameters
        ----------
        temperatures : array-like of shape (n,)
        against : array-like of shape (n,)
            Labels, norms, entropies, initial temperatures, or booleans that are true where
            the teacher is wrong: see `kind`.
        kind : {"class", "norm", "entropy", "initial", "teacher"}, default="class"
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : TemperatureDisplay
        """
        return cls(np.asarray(temperatures), np.asarray(against), kind=kind).plot(ax)

    def plot(self, ax=None):
        """Draw on `ax`, or on a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : TemperatureDisplay
        """
        _, draw = _kind(self.kind)
        self.ax_ = _drawing.new_axes(self, ax)
        self.figure_ = self.ax_.figure
        draw(self.ax_, self.temperatures, self.against)
        return self


class TrainingCurveDisplay:
    """Losses, accuracy and temperatures of every epoch; the best epoch is marked.

    Parameters
    ----------
    history : list of dict of float
        A fitted classifier's `history_`.
    best_iter : int
        Its `best_iter_`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for the losses, one for the accuracy on the "stop" nodes, one for the
        temperatures; those that have no numbers are left out.
    figure_ : matplotlib Figure

    See Also
    --------
    TemperatureDisplay : The temperatures of the best epoch.

    Examples
    --------
    >>> from sklearn_ltd import LTDNodeClassifier
    >>> from sklearn_ltd.datasets import load_karate_club
    >>> from sklearn_ltd.inspection import TrainingCurveDisplay
    >>> club = load_karate_club()
    >>> clf = LTDNodeClassifier(random_state=0, max_iter=40).fit(club.graph, club.y)
    >>> len(TrainingCurveDisplay.from_estimator(clf).axes_)
    3
    """

    def __init__(self, history, best_iter):
        self.history = history
        self.best_iter = best_iter

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the training of a classifier.

        Parameters
        ----------
        estimator : GNNNodeClassifier or LTDNodeClassifier
            Fitted.
        ax : matplotlib Axes, default=None
            Replaced by the panels; a new figure if not given.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ValueError
            If it has no history, as a pipeline has none.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "history_"):
            raise ValueError(
                f"this {type(estimator).__name__} has no training history. Pass a fitted "
                "GNNNodeClassifier or LTDNodeClassifier (pipe[-1] of a pipeline)."
            )
        return cls(estimator.history_, estimator.best_iter_).plot(ax)

    def plot(self, ax=None):
        """Draw in the place of `ax`, or on a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : TrainingCurveDisplay
        """
        n_panels = len(_drawing.training_panels(self.history))
        ax = _drawing.new_axes(self, ax, figsize=(7, 2.2 * n_panels))
        self.figure_ = ax.figure
        ax.set_axis_off()
        place = ax.get_subplotspec()
        if place is None:  # of axes that were put there by hand
            left, bottom, right, top = ax.get_position().extents
            edges = {"left": left, "bottom": bottom, "right": right, "top": top}
            grid = self.figure_.add_gridspec(n_panels, 1, **edges)
        else:
            grid = place.subgridspec(n_panels, 1)
        self.axes_ = grid.subplots(sharex=True, squeeze=False)[:, 0]
        _drawing.training_curves(self.axes_, self.history, self.best_iter)
        return self


class NodeMapDisplay:
    """A map of the nodes: colour and shape are the class, size is the temperature.

    Nodes with a negative temperature, whose teacher's ranking is turned round, are hollow.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
    y : ndarray of shape (n,)
        Classes.
    temperatures : ndarray of shape (n,), default=None
        All nodes have one size if not given.
    edges : ndarray of shape (n_edges, 2), default=None
        Pairs of rows to be linked by lines.
    names : ndarray of shape (n,), default=None
        Written at the nodes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn_ltd import LTDNodeClassifier
    >>> from sklearn_ltd.datasets import load_karate_club
    >>> from sklearn_ltd.inspection import NodeMapDisplay
    >>> club = load_karate_club()
    >>> clf = LTDNodeClassifier(random_state=0, max_iter=40).fit(club.graph[::3], club.y[::3])
    >>> NodeMapDisplay.from_estimator(clf, club.graph, kind="network").positions.shape
    (34, 2)
    """

    def __init__(self, positions, y, temperatures=None, edges=None, names=None):
        self.positions = positions
        self.y = y
        self.temperatures = temperatures
        self.edges = edges
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, graph, y=None, *, kind="embedding", reducer=None, ax=None):
        """Draw the selected nodes.

        Parameters
        ----------
        estimator : GNNNodeClassifier or LTDNodeClassifier
            Fitted.  Temperatures are shown where the graph is that of `fit`, that is,
            where it has as many nodes.
        graph : Graph or anything `as_graph` accepts
        y : array-like of shape (n_selected,), or dict or Series keyed by node name, default=None
            Classes to show; nodes without one are left out.  The predicted ones if not given.
        kind : {"embedding", "network"}, default="embedding"
            ``estimator.transform(graph)`` in two dimensions; or, for some hundred nodes at
            most, the edges between the selected nodes, drawn as springs.
        reducer : transformer, default=None
            Brings the embedding to two dimensions, e.g. ``TSNE()``; ``PCA(2)`` if not given.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : NodeMapDisplay
        """
        if kind not in ("embedding", "network"):
            raise ValueError(f"kind must be 'embedding' or 'network', got {kind!r}.")
        graph, y = _labeled(estimator, graph, y)
        y = estimator.predict(graph) if y is None else y
        temperatures = _temperatures(estimator, graph)
        if kind == "network":
            return cls(_springs(graph), y, temperatures, *_edges_and_names(graph)).plot(ax)
        reducer = PCA(2, random_state=0) if reducer is None else reducer
        positions = reducer.fit_transform(estimator.transform(graph))
        return cls(positions, y, temperatures).plot(ax)

    def plot(self, ax=None):
        """Draw on `ax`, or on a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : NodeMapDisplay
        """
        self.ax_ = _drawing.new_axes(self, ax, figsize=(7, 5))
        self.figure_ = self.ax_.figure
        _drawing.node_map(
            self.ax_, self.positions, self.y, self.temperatures, self.edges, self.names
        )
        return self


def _labeled(estimator, graph, y):
    """The view and labels without the nodes whose label is missing."""
    check_is_fitted(estimator)
    graph = as_graph(graph)
    if y is None:
        return graph, None
    y = align_labels(y, graph)
    a_class = np.isin(y, estimator.classes_)
    if not a_class.any():
        found = list(dict.fromkeys(y.tolist()))[:3]
        raise ValueError(
            f"no label in y is a class of the classifier: got {found}, not any of "
            f"{estimator.classes_[:3].tolist()}. Pass y as it was given to fit."
        )
    known = ~is_unknown(y, estimator.classes_)
    return graph[known], y[known]


def _temperatures(estimator, graph):
    """Temperatures of the selected nodes; None if the classifier has none of this graph."""
    temperatures = getattr(estimator, "temperatures_", None)
    if temperatures is None or len(temperatures) != graph.n_nodes:
        return None
    return temperatures[graph.nodes]


def _given_classes(estimator, graph, y):
    return estimator.predict(graph) if y is None else y


def _norms(estimator, graph, _y):
    return np.linalg.norm(estimator._forward(graph), axis=1)


def _entropies(estimator, graph, _y):
    mean = graph_tensors(graph, torch.device("cpu")).neighbor_mean
    proba = torch.tensor(estimator.teacher_proba_, dtype=torch.float32)
    return neighbor_entropy(proba, mean).numpy()[graph.nodes]


def _initial(estimator, graph, _y):
    return estimator.initial_temperatures_[graph.nodes]


def _teacher_is_wrong(estimator, graph, y):
    if y is None:
        raise ValueError(
            "kind='teacher' needs the true labels, got y=None. Pass from_estimator(clf, "
            "graph[test], y[test], kind='teacher') with nodes that the teacher has not seen."
        )
    return estimator.classes_[estimator.teacher_proba_[graph.nodes].argmax(1)] != y


_KINDS = {
    "class": (_given_classes, _drawing.by_class),
    "norm": (_norms, _drawing.by_norm),
    "entropy": (_entropies, _drawing.by_entropy),
    "initial": (_initial, _drawing.by_initial),
    "teacher": (_teacher_is_wrong, _drawing.by_teacher),
}


def _kind(kind):
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {list(_KINDS)}, got {kind!r}.")
    return _KINDS[kind]


def _edges_and_names(graph):
    part = graph.induced().adjacency
    rows, columns = sp.triu(part.maximum(part.T), 1).nonzero()
    names = graph.node_names if len(graph) <= _MOST_NAMES else None
    return np.column_stack([rows, columns]), names


def _springs(graph):
    import networkx as nx

    part = nx.from_scipy_sparse_array(graph.induced().adjacency)
    layout = nx.spring_layout(part, seed=0)
    return np.array([layout[node] for node in range(len(graph))])
