"""Types of the public interface."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch

Backbone: TypeAlias = str | Callable[[int, int], torch.nn.Module]
ClassWeight: TypeAlias = Mapping[Any, float] | Literal["balanced"] | None
RandomState: TypeAlias = int | np.random.RandomState | None
FloatArray: TypeAlias = npt.NDArray[np.float64]
GraphLike: TypeAlias = Any  # see `as_graph`
Labels: TypeAlias = Any  # an array-like, a Series, or a dict by node name
Matrix: TypeAlias = Any  # an array-like, a DataFrame or a scipy sparse matrix

_F = TypeVar("_F", bound=Callable[..., Any])


def typed(decorator: Any) -> Callable[[_F], _F]:
    """A decorator of scikit-learn, which has no types, that keeps those of the function."""
    return decorator
