"""`NodeFeatures`: a scikit-learn transformer on the node features, inside a pipeline."""

from typing import Any, Self

import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ._checks import check_features_match, remember_features
from ._graph import Graph, as_graph
from ._labels import is_unlabeled, select_labels
from ._typing import GraphLike, Labels, typed


class NodeFeatures(TransformerMixin, BaseEstimator):
    """Apply a scikit-learn transformer to the node features; the edges stay.

    The transformer is fitted on the features of the selected nodes (of the labelled ones, if it
    needs labels) and applied to those of all nodes.  Its output is kept as it is: sparse
    features stay sparse if it keeps them so.  Features that came as a DataFrame are passed to it
    as one, so that a `ColumnTransformer` can choose columns by name; the output has the names
    that the transformer gives.

    Parameters
    ----------
    transformer : transformer
        For example ``StandardScaler()``, ``TfidfTransformer()`` or ``TruncatedSVD(64)``.

    Attributes
    ----------
    transformer_ : transformer
        The fitted clone.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the features came as a DataFrame with string columns.

    See Also
    --------
    KNNGraph : Make a graph of a feature matrix.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ltd import GNNNodeClassifier, NodeFeatures
    >>> from sklearn_ltd.datasets import make_attributed_sbm
    >>> data = make_attributed_sbm(n_nodes=200, random_state=0)
    >>> pipe = make_pipeline(NodeFeatures(StandardScaler()), GNNNodeClassifier(random_state=0))
    >>> pipe.fit(data.graph[:100], data.y[:100]).predict(data.graph[100:]).shape
    (100,)
    """

    # The graph is the data; the others are for the classifier unless asked for here too.
    __metadata_request__fit = {"graph": UNUSED, "labeled_mask": False, "role": False}
    __metadata_request__transform = {"graph": UNUSED}

    _parameter_constraints = {"transformer": [HasMethods(["fit", "transform"])]}

    transformer_: Any
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    @typed(_fit_context(prefer_skip_nested_validation=False))
    def fit(
        self,
        graph: GraphLike,
        y: Labels | None = None,
        labeled_mask: npt.ArrayLike | None = None,
        *,
        role: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit the transformer on the features of the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
            It must have features.
        y, labeled_mask, role
            As in `LTDNodeClassifier.fit`.  Read only if the transformer, or a part of it, is a
            feature selector or tagged as needing labels; it is then fitted on the labelled
            nodes.

        Returns
        -------
        self : NodeFeatures

        Raises
        ------
        ValueError
            If the graph has no features.
        """
        if isinstance(self.transformer, type):
            raise TypeError(
                f"transformer must be an instance, got the class {self.transformer.__name__}. "
                f"Pass {self.transformer.__name__}()."
            )
        graph = _with_features(as_graph(graph))
        remember_features(self, graph)
        if y is not None and _needs_labels(self.transformer):
            graph, y, _ = select_labels(graph, y, labeled_mask, role)
            known = ~is_unlabeled(y)
            graph, y = graph[known], y[known]
        else:
            y = None
        table = feature_table(graph)
        rows = table.iloc[graph.nodes] if hasattr(table, "iloc") else table[graph.nodes]
        self.transformer_ = clone(self.transformer).fit(rows, y)
        return self

    def transform(self, graph: GraphLike) -> Graph:
        """The same graph and selection with transformed features.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        graph : Graph

        Raises
        ------
        ValueError
            If the features are not those of `fit`.
        """
        check_is_fitted(self)
        graph = _with_features(as_graph(graph))
        check_features_match(self, graph)
        X = self.transformer_.transform(feature_table(graph))
        return graph._replace_features(X, _names_out(self.transformer_, graph.feature_names))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = True
        return tags


def feature_table(graph, named=True):
    """A copy of the features, as some estimators change their input in place.

    A DataFrame where dense ones have names, unless not `named`, and pandas is installed.
    """
    X = graph.features
    if not named or graph.feature_names is None or sp.issparse(X):
        return X.copy()
    try:
        import pandas as pd
    except ImportError:
        return X.copy()
    return pd.DataFrame(X, columns=graph.feature_names, copy=True)


def _names_out(transformer, names):
    """Names of what a transformer makes of named features; None where it does not tell."""
    if names is None:
        return None
    try:
        return transformer.get_feature_names_out(names)
    except (AttributeError, NotImplementedError):
        return None


def _needs_labels(transformer):
    parts = [transformer, *transformer.get_params(deep=True).values()]
    return any(
        isinstance(part, SelectorMixin) or get_tags(part).target_tags.required
        for part in parts
        if isinstance(part, BaseEstimator)
    )


def _with_features(graph):
    if graph.X is None:
        raise ValueError(
            "NodeFeatures needs node features, got a graph without. Pass Graph(adjacency, X), or "
            "leave the step out: the classifiers make features of the structure by themselves."
        )
    return graph
