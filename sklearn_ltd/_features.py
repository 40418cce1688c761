"""`NodeFeatures`: a scikit-learn transformer on the node features, inside a pipeline."""

from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ._graph import as_graph


class NodeFeatures(TransformerMixin, BaseEstimator):
    """Apply a scikit-learn transformer to the node features; the edges stay.

    The transformer is fitted on the features of the selected nodes and applied to those of
    all nodes.  What it returns is kept as it is: sparse features stay sparse where it keeps
    them so.

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

    __metadata_request__fit = {"graph": UNUSED}
    __metadata_request__transform = {"graph": UNUSED}

    _parameter_constraints = {"transformer": [HasMethods(["fit", "transform"])]}

    def __init__(self, transformer):
        self.transformer = transformer

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, graph, y=None):
        """Fit the transformer on the features of the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
            It must have features.
        y : array-like of shape (n_selected,), default=None
            Passed on, for supervised transformers.

        Returns
        -------
        self : NodeFeatures

        Raises
        ------
        ValueError
            If the graph has no features.
        """
        graph = self._check(as_graph(graph))
        self.n_features_in_ = graph.shape[1]
        if graph.feature_names is not None:
            self.feature_names_in_ = graph.feature_names
        self.transformer_ = clone(self.transformer).fit(graph.X[graph.nodes], y)
        return self

    def transform(self, graph):
        """The same graph and selection with transformed features.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        graph : Graph
        """
        check_is_fitted(self)
        graph = self._check(as_graph(graph))
        return graph.with_features(self.transformer_.transform(graph.X))

    def _check(self, graph):
        if graph.X is None:
            raise ValueError(
                "NodeFeatures needs node features, got a graph without. Pass "
                "Graph(adjacency, X), or leave the step out: the classifiers make features of "
                "the structure by themselves."
            )
        expected = getattr(self, "n_features_in_", graph.shape[1])
        if hasattr(self, "transformer_") and graph.shape[1] != expected:
            raise ValueError(
                f"X has {graph.shape[1]} features, but NodeFeatures is expecting {expected} "
                "features as input. Pass a graph with the node features of fit."
            )
        return graph

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = True
        return tags
