"""What a `Graph` is made of, checked; the errors tell what to pass instead."""

import sys
import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import assert_all_finite, check_array

from ._whole import as_float32

_NO_CHANCE = 16
_N_WEIGHTS = 100_000  # looked at


def names_of(adjacency):
    """The index, or the columns, of an adjacency that came as a DataFrame, None if 0, 1, 2, ..."""
    if not hasattr(adjacency, "loc"):
        return None
    sides = [adjacency.index.tolist(), adjacency.columns.tolist()]
    names = [side for side in sides if side != list(range(len(side)))]
    if len(names) == 2 and list(map(str, names[0])) != list(map(str, names[1])):
        raise ValueError(
            "the index and the columns of the adjacency must be the same, got "
            f"{names[0][:3]}... and {names[1][:3]}... Pass adjacency.loc[names, names], or "
            "adjacency.to_numpy()."
        )
    return names[0] if names else None


def check_adjacency(adjacency):
    if not sp.issparse(adjacency):
        is_graph = hasattr(adjacency, "adjacency")
        if is_graph or isinstance(adjacency, str) or np.ndim(adjacency) != 2:
            raise TypeError(
                "adjacency must be a square scipy sparse matrix or 2-D array, got "
                f"{type(adjacency).__name__}. Convert other graphs by as_graph(obj)."
            )
        adjacency = np.asarray(adjacency)
        _check_weight_dtype(adjacency.dtype)
        if adjacency.dtype.kind in "iu" and len(adjacency) == 2 < adjacency.shape[1]:
            raise ValueError(
                f"adjacency must be square, got integers of shape {adjacency.shape}, which look "
                "like the sources and targets of edges. Pass scipy.sparse.coo_array((np.ones(m), "
                "(sources, targets)), shape=(n, n)), or Graph.from_pyg(data) for PyG's edge_index."
            )
        if adjacency.dtype == np.float16:
            adjacency = adjacency.astype(np.float32)
        adjacency = sp.csr_array(adjacency)
    n_rows, n_columns = adjacency.shape
    if n_rows != n_columns:
        raise ValueError(
            f"adjacency must be square, a row and a column for every node, got {adjacency.shape}. "
            "Pass Graph(adjacency, X), features second: scikit-learn splits it by nodes, a bare "
            "adjacency by rows. Edges in pairs, positions of nodes: scipy.sparse.coo_array(("
            "np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))."
        )
    if n_rows == 0:
        raise ValueError(
            "the graph is empty: adjacency has shape (0, 0), expected at least 1 node."
        )
    return _canonical(adjacency)


def _check_weight_dtype(dtype):
    if dtype.kind not in "buif":
        raise TypeError(f"edge weights must be real numbers, got dtype {dtype}.")


def _canonical(adjacency):
    """CSR array of floats, sorted, without duplicates and stored zeros; copies if it must.

    Indices of 64 bits, in which edges often come, become 32 where that is enough.
    """
    _check_weight_dtype(adjacency.dtype)
    dtype = np.float64 if adjacency.dtype in (np.float64, np.longdouble) else np.float32
    # Before CSR, which adds duplicates up in the dtype they have.
    matrix = sp.csr_array(adjacency.astype(dtype, copy=False))
    if not np.isfinite(matrix.data).all():
        raise ValueError(
            "edge weights must be finite, got NaN or infinity. Use 0 (no entry) for no edge."
        )
    if (matrix.data < 0).any():
        raise ValueError(
            f"edge weights must be >= 0, got {matrix.data.min():g}. Negative relations can't be "
            "averaged over; pass abs(adjacency), or only the positive edges."
        )
    if not matrix.has_canonical_format or (matrix.data == 0).any():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    if matrix.indices.dtype != np.int32 and max(matrix.shape[0], matrix.nnz) < 2**31:
        indices, indptr = (a.astype(np.int32) for a in (matrix.indices, matrix.indptr))
        matrix = sp.csr_array((matrix.data, indices, indptr), shape=matrix.shape)
    return matrix


def rows_by_name(X, names):
    """The rows of a DataFrame whose index holds the node names, in the order of the nodes.

    An index of 0, 1, 2, ... says nothing where these are no names, or all names in this order.
    """
    if not hasattr(X, "loc"):
        return X
    index = X.index.tolist()
    counted = index == list(range(len(index)))
    if names is None:
        if not counted:
            warnings.warn(
                f"the index of X, {index[:3]}..., is not read: its rows are taken to be in the "
                "order of the nodes. Pass node_names= with the same names to put them in order, or "
                "X.to_numpy() if they are.",
                UserWarning,
                stacklevel=users_level(),
            )
        return X
    order = names.tolist()
    known, given = set(order), set(index)
    if index == order or (counted and not known & given):
        return X
    if counted:
        raise ValueError(
            "the index of X is ambiguous: 0, 1, 2, ... may be names of nodes or their order in the "
            f"graph, which begins with {order[:3]}. Pass X.loc[names in the order of the nodes] "
            "for names, X.to_numpy() for the order."
        )
    if len(index) == len(order) and known == given:
        return X.loc[order]
    missing = [name for name in order if name not in given]
    strange = [name for name in index if name not in known]
    raise ValueError(
        f"the index of X has to hold the name of every node once: {len(missing)} nodes are "
        f"missing{_example(missing)}, {len(strange)} names are no nodes{_example(strange)}, "
        f"{len(index) - len(given)} are repeated. Pass X.loc[names of the nodes], add nodes "
        "without edges by G.add_nodes_from(X.index), or pass X.to_numpy() if its rows are in the "
        "order of the nodes."
    )


def _example(names):
    return f", e.g. {names[0]!r}" if names else ""


def check_features(X, n_nodes):
    """`X` as a float array or CSR array with `n_nodes` rows, and the names of its columns."""
    if X is None:
        return None, None
    frame, columns = X, getattr(X, "columns", None)
    named = columns is not None and len(columns) and all(isinstance(c, str) for c in columns)
    names = np.asarray(columns, dtype=object) if named else None
    _check_no_dates(frame)
    if sp.issparse(X):
        if X.dtype.kind in "bui":  # before CSR, which adds duplicates up in the dtype they have
            X = X.astype(np.float32)
        X = sp.csr_array(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    try:
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=[np.float32, np.float64],
            order="C",
            input_name="X",
            ensure_all_finite=False,
            ensure_min_samples=0,
        )
    except (TypeError, ValueError) as error:
        message = _no_numbers(frame, error)
        if message is None:
            raise
        raise ValueError(message) from error
    if not sp.issparse(X) and min(X.strides) < 0:
        X = X.copy()  # one row or column, which numpy calls contiguous and torch refuses
    _check_finite(X, frame)
    if X.shape[0] != n_nodes:
        raise ValueError(
            f"X has {X.shape[0]} rows, but the adjacency has {n_nodes} nodes. Pass one row of "
            "features per node, in the order of the adjacency."
        )
    return (sp.csr_array(X) if sp.issparse(X) else X), names


def _check_no_dates(frame):
    """They would count in nanoseconds."""
    if not hasattr(frame, "columns"):
        return
    if any(getattr(dtype, "kind", "O") in "mM" for dtype in frame.dtypes):
        raise ValueError(_no_numbers(frame, "dates or durations"))


def _no_numbers(frame, why):
    """What is wrong with columns of a DataFrame; None if they hold numbers."""
    columns = [c for c in getattr(frame, "columns", []) if not _holds_numbers(frame[c])]
    if not columns:
        return None
    return (
        f"the columns {columns[:5]} of X hold no numbers ({why}). Encode them first: "
        "pd.get_dummies(X), for example, keeps the index."
    )


def _holds_numbers(column):
    values = np.asarray(column)
    try:
        values.astype(float)
    except (TypeError, ValueError):
        return False
    return values.dtype.kind not in "mM"


def _check_finite(X, frame):
    """As scikit-learn says it, where the first one is, and what to do."""
    X = as_float32(X)
    try:
        assert_all_finite(X, input_name="X")
    except ValueError as error:
        row, column = first_not_finite(X)
        in_pandas = hasattr(frame, "loc")
        if in_pandas:
            row, column = frame.index[row], frame.columns[column]
        what = str(error).splitlines()[0]
        advice = ""
        if "NaN" in what:
            fill = "X.fillna(X.mean())" if in_pandas else "SimpleImputer().fit_transform(X)"
            advice = f" Fill in what is missing, for example by {fill}."
        raise ValueError(f"{what} First in row {row}, column {column}.{advice}") from None


def first_not_finite(X):
    """Row and column of the first entry that is NaN or infinite."""
    if sp.issparse(X):
        entry = int((~np.isfinite(X.data)).argmax())
        return int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry])
    wrong = ~np.isfinite(X)
    row = int(wrong.any(axis=1).argmax())
    return row, int(wrong[row].argmax())


def check_feature_names(feature_names, X):
    names = np.asarray(feature_names, dtype=object)
    if names.shape != (X.shape[1],):
        raise ValueError(
            f"feature_names must hold a name for each of the {X.shape[1]} features, got shape "
            f"{names.shape}."
        )
    return names


def check_names(node_names, n_nodes):
    names = list(node_names)
    if len(names) != n_nodes:
        raise ValueError(f"node_names has {len(names)} entries, but the graph has {n_nodes} nodes.")
    if len(set(names)) != n_nodes:
        raise ValueError("node_names must be unique, got some name more than once.")
    if len(set(map(type, names))) == 1 and isinstance(names[0], (str, int, np.integer)):
        return np.array(names)
    array = np.empty(n_nodes, dtype=object)
    array[:] = names
    return array


def check_index(index, n_selected):
    """An index that numpy understands into so many nodes; an empty list selects none."""
    if isinstance(index, slice) or index is Ellipsis:
        return index
    index = np.asarray(index)
    if index.size == 0 and index.dtype != bool:
        index = index.astype(np.intp)
    scalar_mask = index.ndim == 0 and index.dtype == bool
    if index.ndim > 1 or index.dtype.kind not in "biu" or scalar_mask:
        named = index.dtype.kind in "UO"
        names = " Nodes by name: graph[graph.positions(names)]." if named else ""
        raise IndexError(
            "select nodes by integer positions, a boolean mask or a slice, got an array of "
            f"dtype {index.dtype} and shape {index.shape}.{names}"
        )
    # A sample of so many nodes that hits the first two alone is no chance.
    if n_selected >= _NO_CHANCE and is_integer_mask(index, n_selected):
        raise IndexError(
            f"the index has {n_selected} integers, all of them 0 or 1, which would be read as "
            "positions. Pass mask.astype(bool)."
        )
    return index


def is_integer_mask(array, n):
    """Whether integers that are taken for positions may have been meant as a mask."""
    if array.dtype.kind not in "iu" or array.shape != (n,):
        return False
    return array.min(initial=0) == 0 and array.max(initial=0) == 1


def remember_features(estimator, graph):
    """Set scikit-learn's attributes of the features at fit, for `check_features_match`."""
    estimator.n_features_in_ = graph.shape[1]
    estimator.__dict__.pop("feature_names_in_", None)
    if graph.feature_names is not None:
        estimator.feature_names_in_ = graph.feature_names


def check_features_match(estimator, graph, structural=False):
    """Raise unless the graph has the features that the estimator was fitted on."""
    n_features, expected = graph.shape[1], estimator.n_features_in_
    if n_features != expected or graph._whole.has_features == structural:
        found = f"{n_features} features" if graph._whole.has_features else "no features"
        wanted = "no features" if structural else f"{expected} features"
        raise ValueError(
            f"X has {found}, but {type(estimator).__name__} is expecting {expected} features as "
            f"input: it was fitted on a graph with {wanted}. Pass a graph with the same node "
            "features, in the same order."
        )
    names, found = getattr(estimator, "feature_names_in_", None), graph.feature_names
    if names is not None and found is None:
        warnings.warn(
            f"X does not have valid feature names, but {type(estimator).__name__} was fitted with "
            "feature names: the columns are taken to be in the same order.",
            UserWarning,
            stacklevel=users_level(),
        )
    if names is not None and found is not None and not np.array_equal(names, found):
        raise ValueError(
            "The feature names should match those that were passed during fit, got "
            f"{list(found[:5])} for {list(names[:5])}. Reorder the columns."
        )


def warn_of_light_edges(graph):
    """Beside self-loops of weight 1 such edges hardly count."""
    indptr, _, weights = graph._whole.edge_arrays
    if not len(weights):
        return
    some = weights[:: max(1, len(weights) // _N_WEIGHTS)]
    n_sources = np.count_nonzero(np.diff(indptr))
    weight = float(some.mean(dtype=np.float64)) * len(weights) / n_sources
    if weight < 0.1:
        warnings.warn(
            f"the edges of a node weigh {weight:.2g} together on average, beside a self-loop of 1 "
            "that the network adds: neighbours hardly count. Scale the weights, for example by "
            "adjacency / adjacency.data.mean().",
            UserWarning,
            stacklevel=users_level(),
        )


def warn_of_unequal_scales(graph):
    """A feature that is several times as large as all others together drowns them."""
    if not graph._whole.has_features or graph.shape[1] < 2:
        return
    column, share = graph._whole.largest_feature
    if share > 0.95:
        names = graph.feature_names
        name = f"column {column}" if names is None else repr(str(names[column]))
        warnings.warn(
            f"the feature {name} makes up {100 * share:.1f} % of the squared sum of all "
            f"{graph.shape[1]} features, so that the others hardly count. Standardise them: "
            "make_pipeline(NodeFeatures(StandardScaler()), clf).",
            UserWarning,
            stacklevel=users_level(),
        )


def users_level():
    """The `stacklevel` at which a warning of the calling function points to the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and _package(frame) in ("sklearn", "sklearn_ltd"):
        frame, level = frame.f_back, level + 1
    return level


def _package(frame):
    return frame.f_globals.get("__name__", "").split(".")[0]
