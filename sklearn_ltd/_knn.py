"""`KNNGraph`: a feature matrix becomes a graph of nearest neighbours."""

from collections.abc import Callable
from functools import cache
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController

from ._graph import Graph
from ._typing import Matrix, typed

_SMALL = 10**9  # products, a good second on one core at most


@cache
def _thread_pools():
    """Found once, as that takes longer than a small search."""
    return ThreadpoolController()


class KNNGraph(TransformerMixin, BaseEstimator):
    """Turn a feature matrix into a `Graph` that links each sample to its nearest ones.

    Among the training samples the graph is undirected.  ``transform`` adds new samples as nodes
    and returns a view of them.  They receive edges from training samples only, so that the
    prediction for a sample does not depend on the others it comes with.  A row that equals a
    training sample is that sample, not a new one.  Small searches run on one thread, so that
    equally near samples give the same graph on every machine.

    Parameters
    ----------
    n_neighbors : int, default=10
        Neighbours per sample; fewer if there are fewer training samples.
    metric : str or callable, default="minkowski"
        Of scikit-learn's `NearestNeighbors`, for example "cosine".
    p : float, default=2
        Power of the Minkowski metric.
    n_jobs : int, default=None
        Of the neighbour search, where it is not a small one.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where `X` is a DataFrame with string columns.
    graph_ : Graph
        The graph of the training samples.

    See Also
    --------
    NodeFeatures : Transform the features of a graph that is there.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ltd import GNNNodeClassifier, KNNGraph
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> pipe = make_pipeline(KNNGraph(), GNNNodeClassifier(random_state=0))
    >>> bool(pipe.fit(X_train, y_train).score(X_test, y_test) > 0.9)
    True
    """

    _parameter_constraints = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [str, callable],
        "p": "no_validation",
        "n_jobs": [Integral, None],
    }

    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]
    graph_: Graph

    def __init__(
        self,
        n_neighbors: int = 10,
        *,
        metric: str | Callable[..., float] = "minkowski",
        p: float = 2,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.p = p
        self.n_jobs = n_jobs

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Build the graph of the training samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        self : KNNGraph
        """
        self.fit_transform(X)
        return self

    @typed(_fit_context(prefer_skip_nested_validation=True))
    def fit_transform(self, X: Matrix, y: Any = None) -> Graph:
        """Build and return the graph of the training samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        graph : Graph with n_samples nodes, all selected
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        self._search = NearestNeighbors(
            n_neighbors=self.n_neighbors, metric=self.metric, p=self.p, n_jobs=self.n_jobs
        ).fit(X)
        k = min(self.n_neighbors, X.shape[0] - 1)
        nearest = self._nearest(None, k) if k else sp.csr_array((1, 1))
        self.graph_ = self._graph(nearest.maximum(nearest.T), X)
        return self.graph_

    def transform(self, X: Matrix) -> Graph:
        """Add new samples to the training graph and select them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_new, n_features)

        Returns
        -------
        graph : Graph
            A view of these samples, in a graph of the training samples and the new ones.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        if sp.issparse(X) != sp.issparse(self.graph_.X):
            X = X.toarray() if sp.issparse(X) else sp.csr_array(X)
        nodes = self._training_nodes(X)
        new = X[nodes < 0]
        n_train, n_new = self.graph_.n_nodes, new.shape[0]
        if n_new == 0:
            return self.graph_[nodes]
        # Row: new sample; column: training sample.  The edge runs the other way.
        nearest = self._nearest(new, min(self.n_neighbors, n_train))
        adjacency = sp.block_array(
            [[self.graph_.adjacency, nearest.T], [None, sp.csr_array((n_new, n_new))]]
        )
        stack = sp.vstack if sp.issparse(X) else np.vstack
        nodes[nodes < 0] = np.arange(n_train, n_train + n_new)
        return self._graph(adjacency, stack([self.graph_.X, new]))[nodes]

    def _nearest(self, X, k):
        """Edges from new samples, or training samples if None, to the k nearest training samples.

        Which of two equally near ones is taken depends on the number of threads where they share
        the training samples: small work is done by one, for the same graph on every machine.
        """
        n_train, n_features = self._search.n_samples_fit_, self.n_features_in_
        n_products = (n_train if X is None else X.shape[0]) * n_train * n_features
        if n_products >= _SMALL:
            return self._search.kneighbors_graph(X, n_neighbors=k)
        with _thread_pools().limit(limits=1, user_api="openmp"):
            return self._search.kneighbors_graph(X, n_neighbors=k)

    def _training_nodes(self, X):
        """The training sample that each row of `X` repeats exactly, else -1."""
        known = {row: node for node, row in enumerate(_row_bytes(self.graph_.X))}
        rows = _row_bytes(X.astype(self.graph_.X.dtype, copy=False))
        return np.array([known.get(row, -1) for row in rows])

    def _graph(self, adjacency, X):
        names = getattr(self, "feature_names_in_", None)
        return Graph(adjacency).with_features(X, names)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _row_bytes(X):
    """The content of each row, hashable; rows are equal if and only if their contents are."""
    if not sp.issparse(X):
        return [row.tobytes() for row in np.ascontiguousarray(X) + 0.0]  # no negative zeros
    X = sp.csr_array(X, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    ends = zip(X.indptr[:-1], X.indptr[1:])
    indices = X.indices.astype(np.int64)
    return [indices[i:j].tobytes() + X.data[i:j].tobytes() for i, j in ends]
