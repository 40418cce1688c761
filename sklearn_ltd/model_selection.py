"""Roles of the labelled nodes: which labels train, which tune temperatures, which stop."""

from numbers import Integral

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from ._labels import as_labels, encode_labels
from ._typing import Labels, RandomState, typed

__all__ = ["assign_roles"]


@typed(
    validate_params(
        {
            "y": ["array-like"],
            "n_train": [Interval(Integral, 1, None, closed="left")],
            "n_temperature": [Interval(Integral, 0, None, closed="left")],
            "n_stop": [Interval(Integral, 0, None, closed="left")],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
)
def assign_roles(
    y: Labels,
    n_train: int = 20,
    n_temperature: int = 20,
    n_stop: int = 10,
    random_state: RandomState = None,
) -> npt.NDArray[np.str_]:
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
