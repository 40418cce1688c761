"""Every kind of teacher that `LTDNodeClassifier` takes, brought to logits of all nodes."""

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ._backbones import BACKBONES, EdgeIndexModule
from ._base import BaseNodeClassifier, graph_tensors
from ._checks import users_level
from ._features import feature_table
from ._labels import ROLES, draw_roles

SMALLEST_PROBABILITY = 1e-9


def teach(teacher, graph, labels, classes, rng, device, checkpoint_dir=None):
    """Logits of the teacher at all nodes, fitted first if it is not.

    Parameters
    ----------
    teacher : estimator, torch.nn.Module or array-like of shape (n, n_classes)
    graph : Graph
    labels : Labels
        The teacher sees those with role "train" and "temperature"; "stop" nodes stop it
        where it is a classifier of this package.
    classes : ndarray of shape (n_classes,)
    rng : RandomState
        Seeds the teacher where its `random_state` is None.
    device : torch.device
    checkpoint_dir : str, path or None
        A classifier of this package is saved in its subfolder "teacher".

    Returns
    -------
    teacher : fitted estimator or None
        None for a module and an array.
    logits : ndarray of shape (n, n_classes), float32
        Up to a constant per node, which a softmax does not see.
    """
    if hasattr(teacher, "fit") and not _is_fitted(teacher):
        try:
            fitted = _fit(teacher, graph, labels, classes, rng, checkpoint_dir)
            logits = _estimator_logits(fitted, graph, classes, named=True)
            return fitted, _checked(logits, graph, classes)
        except Exception as error:
            error.add_note(f"This is from the teacher, {teacher!r}.")
            raise
    estimator = None
    if isinstance(teacher, torch.nn.Module):
        _warn_of_leak("a torch module, used as it is: it has to be trained")
        logits = _module_logits(teacher, graph, len(classes), device)
    elif hasattr(teacher, "fit"):
        _warn_of_leak(f"a fitted {type(teacher).__name__}")
        named = hasattr(teacher, "feature_names_in_")
        estimator, logits = teacher, _estimator_logits(teacher, graph, classes, named)
    else:
        _warn_of_leak("an array of logits")
        logits = teacher
    logits = _checked(logits, graph, classes)
    _warn_if_worse_than_chance(logits, labels, classes)
    return estimator, logits


def _warn_of_leak(what):
    warnings.warn(
        f"the teacher is {what}. If it has seen labels of nodes that you score, for example those "
        "held out in cross-validation, the scores are too good. An unfitted estimator, also "
        "GNNNodeClassifier(lambda n_features, n_classes: module), is trained on the labels of each "
        "fit only.",
        UserWarning,
        stacklevel=users_level(),
    )


def _warn_if_worse_than_chance(logits, labels, classes):
    """Logits from elsewhere may have the classes in another order."""
    nodes = labels.positions(*ROLES)
    right = (logits[nodes].argmax(axis=1) == labels.codes[nodes]).mean()
    if right < 0.5 / len(classes) and len(nodes) >= 10:
        warnings.warn(
            f"the teacher is right at {100 * right:.0f} % of the labelled nodes, which is worse "
            "than chance. The columns of its logits have to stand for the sorted classes, "
            f"{classes.tolist()[:5]}.",
            UserWarning,
            stacklevel=users_level(),
        )


def _is_fitted(estimator):
    if isinstance(estimator, FrozenEstimator):
        return True
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def takes_graph(estimator):
    """Whether an estimator is fitted on a `Graph`, not on a feature matrix.

    Seen by the tag ``input_tags.two_d_array = False`` of the estimator, of the first step of
    a pipeline, or of the estimator inside a meta-estimator.
    """
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return takes_graph(steps[0])
    inner = getattr(estimator, "estimator", None)
    if inner is None and getattr(estimator, "estimators", None):
        inner = estimator.estimators[0]
        inner = inner[1] if isinstance(inner, tuple) else inner
    if inner is not None and hasattr(inner, "fit"):
        return takes_graph(inner)
    return not get_tags(estimator).input_tags.two_d_array


def _fit(teacher, graph, labels, classes, rng, checkpoint_dir):
    teacher = clone(teacher)
    _seed(teacher, rng)
    if isinstance(teacher, BaseNodeClassifier):
        if checkpoint_dir is not None and teacher.checkpoint_dir is None:
            teacher.checkpoint_dir = Path(checkpoint_dir) / "teacher"
        nodes = labels.positions("train", "temperature", "stop")
        role = labels.roles[nodes]
        if getattr(teacher, "_learns", False) and not len(labels.nodes["temperature"]):
            train = np.flatnonzero(role == "train")  # the student sets no labels aside for that
            fractions = {"temperature": teacher.temperature_fraction}
            role[train] = draw_roles(labels.codes[nodes[train]], fractions, rng)
        return teacher.fit(graph.whole[nodes], classes[labels.codes[nodes]], role=role)
    nodes = labels.positions("train", "temperature")
    y = classes[labels.codes[nodes]]
    if takes_graph(teacher):
        return teacher.fit(graph.whole[nodes], y)
    table = feature_table(graph)
    return teacher.fit(table.iloc[nodes] if hasattr(table, "iloc") else table[nodes], y)


def _seed(estimator, rng):
    """Give every `random_state` that is None a seed, as scikit-learn's ensembles do."""
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if value is None and (name == "random_state" or name.endswith("__random_state")):
            estimator.set_params(**{name: int(rng.randint(np.iinfo(np.int32).max))})


def _estimator_logits(teacher, graph, classes, named):
    """`named` as in `feature_table`."""
    if not hasattr(teacher, "predict_proba"):
        raise TypeError(
            f"the teacher {type(teacher).__name__} has no predict_proba, which distillation "
            "needs. Wrap it: CalibratedClassifierCV(teacher)."
        )
    data = graph.whole if takes_graph(teacher) else feature_table(graph, named)
    if isinstance(teacher, BaseNodeClassifier):
        log_proba = teacher.predict_log_proba(data)
    else:
        log_proba = np.log(np.maximum(teacher.predict_proba(data), SMALLEST_PROBABILITY))
    logits = np.full((len(log_proba), len(classes)), np.log(SMALLEST_PROBABILITY))
    known = {label: column for column, label in enumerate(teacher.classes_.tolist())}
    for column, label in enumerate(classes.tolist()):
        if label in known:
            logits[:, column] = log_proba[:, known[label]]
    unknown = [label for label in classes.tolist() if label not in known]
    if unknown and len(unknown) < len(classes):
        warnings.warn(
            f"the teacher does not know the classes {unknown[:5]} and never predicts them. Fit it "
            "on labels of all classes, or pass it unfitted.",
            UserWarning,
            stacklevel=users_level(),
        )
    if not set(known) & set(classes.tolist()):
        raise ValueError(
            f"the teacher knows the classes {list(known)[:5]}, none of which is among the labels "
            f"{classes.tolist()[:5]}. Fit it on the same kind of labels."
        )
    return log_softmax(logits, axis=1)


@torch.no_grad()
def _module_logits(module, graph, n_classes, device):
    module = copy.deepcopy(module).to(device).eval()
    logits = EdgeIndexModule(module, n_classes)(graph_tensors(graph, device))
    return logits.cpu().numpy()


def _checked(logits, graph, classes):
    expected = (graph.n_nodes, len(classes))
    try:
        logits = np.asarray(
            logits.detach().cpu() if torch.is_tensor(logits) else logits, dtype=float
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the teacher's logits must be numbers in shape {expected}: {error}"
        ) from error
    if logits.shape != expected:
        raise ValueError(
            f"the teacher's logits must have shape {expected}: one row per node of the whole "
            f"graph, one column per class in sorted order; got {logits.shape}."
        )
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            "the teacher's array holds probabilities (rows that sum to 1), expected logits. Pass "
            "np.log(np.clip(proba, 1e-9, None))."
        )
    logits = logits.astype(np.float32)
    if not np.isfinite(logits).all():
        raise ValueError(
            "the teacher's logits must be finite, got NaN or infinity. For probabilities pass "
            "np.log(np.clip(proba, 1e-9, None))."
        )
    return logits


def check_teacher(teacher):
    """Raise for what is no teacher at all.

    Raises
    ------
    ValueError, TypeError
        For an unknown backbone name, or an object without `fit`.
    """
    if isinstance(teacher, type) and issubclass(teacher, torch.nn.Module):
        raise TypeError(
            f"teacher must be an instance, got the class {teacher.__name__}. To train one, pass "
            f"GNNNodeClassifier({teacher.__name__}), whose arguments are n_features and n_classes; "
            f"for a student of this kind, backbone={teacher.__name__}."
        )
    if isinstance(teacher, type):
        raise TypeError(
            f"teacher must be an instance, got the class {teacher.__name__}. Pass "
            f"{teacher.__name__}()."
        )
    if isinstance(teacher, str) and teacher not in BACKBONES:
        raise ValueError(
            f"unknown teacher {teacher!r}. Pass one of {sorted(BACKBONES)}, an estimator, a "
            "torch module or an array of logits."
        )
    arrays = (np.ndarray, list, tuple, torch.Tensor)
    if not (
        teacher is None
        or isinstance(teacher, (str, torch.nn.Module, *arrays))
        or hasattr(teacher, "fit")
    ):
        raise TypeError(
            f"teacher must be None, a backbone name, an estimator, a torch module or an array "
            f"of logits, got {type(teacher).__name__}."
        )
