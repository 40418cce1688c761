"""Roles of the labelled nodes: which labels train, which tune temperatures, which stop."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

__all__ = ["assign_roles"]

ROLES = ("train", "temperature", "stop")


@validate_params(
    {
        "y": ["array-like"],
        "n_train": [Interval(Integral, 1, None, closed="left")],
        "n_temperature": [Interval(Integral, 0, None, closed="left")],
        "n_stop": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def assign_roles(y, n_train=20, n_temperature=20, n_stop=10, random_state=None):
    """Draw a fixed number of nodes per class for each role, as in the LTD paper.

    Role by role and class by class, in sorted order, nodes are chosen from those that are
    left, as in the benchmark of Shchur et al. (2018), from which the paper's protocol comes.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels; nodes with -1 (numbers), None or NaN get no role.
    n_train, n_temperature, n_stop : int
        Nodes per class: for the hard labels of the student (the paper's V_D), for the
        evaluation loss of the temperatures (V_E) and for early stopping (V_S).
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    role : ndarray of shape (n,), dtype str
        "train", "temperature", "stop", or "" for the other nodes.

    Raises
    ------
    ValueError
        If a class has fewer nodes than are asked for.

    Examples
    --------
    >>> from sklearn_ltd.model_selection import assign_roles
    >>> role = assign_roles([0] * 5 + [1] * 5, 2, 2, 1, random_state=0)
    >>> [int((role == name).sum()) for name in ("train", "temperature", "stop")]
    [4, 4, 2]
    """
    y = as_labels(y)
    rng = check_random_state(random_state)
    codes, classes = encode_labels(y)
    counts = {"train": n_train, "temperature": n_temperature, "stop": n_stop}
    _check_class_sizes(codes, classes, sum(counts.values()))
    role = np.full(len(y), "", dtype="<U11")
    for name, count in counts.items():
        for code in range(len(classes)):
            members = np.flatnonzero((codes == code) & (role == ""))
            role[rng.choice(members, count, replace=False)] = name
    return role


def _check_class_sizes(codes, classes, needed):
    for name, size in zip(classes.tolist(), np.bincount(codes[codes >= 0], minlength=len(classes))):
        if size < needed:
            raise ValueError(
                f"class {name!r} has {size} labelled nodes, but n_train + n_temperature + n_stop "
                f"= {needed}. Ask for fewer per class."
            )


def _is_missing(value):
    """None, NaN or pandas.NA, whose comparisons have no truth value."""
    return value is None or type(value).__name__ == "NAType" or value != value


def is_unlabeled(y):
    """Mask of the entries that mean "no label": None, NaN, or -1 among numbers.

    Where the values are exactly {-1, 1}, both are classes (the usual binary coding).
    """
    y = np.asarray(y)
    if y.dtype.kind in "OUS":
        missing = np.array([_is_missing(v) for v in y.tolist()], dtype=bool)
        numeric = [isinstance(v, (int, float, np.number)) for v in y[~missing].tolist()]
        if not (numeric and all(numeric)):
            return missing
    else:
        missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(y.shape, dtype=bool)
    negative = np.zeros(y.shape, dtype=bool)
    negative[~missing] = y[~missing].astype(float) == -1
    values = set(y[~missing].tolist())
    return missing if values == {-1, 1} else missing | negative


def as_labels(y):
    """An array of labels; a list of strings with NaN keeps the NaN."""
    array = np.asarray(y)
    if array.dtype.kind in "US" and not hasattr(y, "dtype"):
        return np.asarray(y, dtype=object)
    return array


def encode_labels(y):
    """Codes 0 .. C-1, with -1 for unlabelled nodes, and the sorted classes."""
    labeled = ~is_unlabeled(y)
    codes = np.full(len(y), -1)
    known = y[labeled]
    if known.dtype.kind == "O" and len(known):
        known = np.array(known.tolist())
    classes, codes[labeled] = np.unique(known, return_inverse=True)
    return codes, classes


def draw_roles(codes, fractions, rng):
    """Stratified draw of roles for labelled nodes.

    Every class keeps one label or more for "train".  The other roles are owed their
    fraction of each class; what a small class cannot give is carried over to the next one,
    so that the totals come out right from two labels per class up.

    Parameters
    ----------
    codes : ndarray of shape (n_labeled,)
        Class codes.
    fractions : dict of str to float
        Role to its fraction of the labels; the rest is "train".
    rng : RandomState

    Returns
    -------
    role : ndarray of shape (n_labeled,), dtype str
    """
    role = np.full(len(codes), "train", dtype="<U11")
    owed = dict.fromkeys(fractions, 0.0)
    for code in rng.permutation(np.unique(codes)):
        members = rng.permutation(np.flatnonzero(codes == code))
        free = list(members[1:])
        for name, fraction in fractions.items():
            owed[name] += fraction * len(members)
        while free and owed:
            name = max(owed, key=owed.get)
            if owed[name] < 0.5:
                break
            role[free.pop()] = name
            owed[name] -= 1
    _fill_missing_roles(role, codes, fractions)
    return role


def _fill_missing_roles(role, codes, fractions):
    """Give a role that came out empty one label of the class with most labels to train on."""
    for name in fractions:
        if not (role == name).any():
            training = np.flatnonzero(role == "train")
            counts = np.bincount(codes[training])
            if counts.max() > 1:
                role[training[codes[training] == counts.argmax()][0]] = name
