"""A teacher adapted to the graph, before it is imitated.

Its probabilities are to be trusted, heed what the features of a node say without its neighbours,
and stand for the class frequencies of the graph: labels are often drawn class by class, so that the
frequencies among them say nothing of those in the graph.  And where it is likely to be wrong, it
counts for less.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import log_softmax, logit, softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ._labels import ROLES, Labels
from ._teacher import SMALLEST_PROBABILITY

_WIDEST = np.log(20)  # of the logarithm of a temperature
_OPINION_SCALE = 0.5  # of the prior of the second opinion's weight
_ROWS = 2**16  # learned from at most, and predicted at once


@dataclass
class Adapted:
    """What is imitated, and how much at every node.

    Attributes
    ----------
    logits : ndarray of shape (n, n_classes)
    labels : Labels
        With the class frequencies for which they are to stand.
    class_prior : ndarray of shape (n_classes,) or None
        Estimated frequencies of the classes in the graph.
    reliability : ndarray of shape (n,)
        The estimated probability that the class of the highest logit is the right one.
    """

    logits: np.ndarray
    labels: Labels
    class_prior: np.ndarray | None
    reliability: np.ndarray


def adapt(logits, labels, X, average, correct_frequencies):
    """A teacher that has learned from the "train" and "temperature" labels, put right.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
    labels : Labels
    X : ndarray or scipy sparse array of shape (n, n_features) or None
        Node features.
    average : callable
        Averages rows (n, n_classes) over the neighbours of every node.
    correct_frequencies : bool
        Whether logits and labels are to stand for the class frequencies of the graph.

    Returns
    -------
    adapted : Adapted
    """
    learned_from = ("train", "temperature")
    nodes, stop = labels.positions(*learned_from), labels.nodes["stop"]
    known = stop, labels.codes[stop]
    prior = labels.frequencies(*learned_from, n_classes=logits.shape[1])
    class_prior = None
    # One thread: the same bits whatever the number of cores.
    with threadpool_limits(1, user_api="blas"):
        heard = X is not None and len(stop)
        opinion = second_opinion(X, nodes, labels.codes[nodes]) if heard else None
        learned = prior if correct_frequencies else np.full_like(prior, 1 / len(prior))
        logits = calibrate(logits, *known, labels.ratio(prior, "stop"), learned, opinion)
        if correct_frequencies:
            class_prior = class_frequencies(logits)
            prior = usable_frequencies(class_prior, labels)
            logits = logits + np.log(labels.ratio(prior, *learned_from).astype(logits.dtype))
            labels = replace(labels, class_prior=prior)
        around = average(softmax(logits, axis=1))
        probability = reliability(logits, around, opinion, *known, labels.ratio(prior, "stop"))
    return Adapted(logits, labels, class_prior, probability)


def second_opinion(X, nodes, y):
    """What the features say without the graph: log-probabilities of a logistic regression.

    A teacher that averages over neighbours errs where they differ in class; this one does not look
    at them.  The features of a node are scaled to unit length, as their sum, the length of a text,
    says little of its class.

    Parameters
    ----------
    X : ndarray or scipy sparse array of shape (n, n_features)
    nodes, y : ndarray of shape (n_known,)
        Nodes to learn from and their classes, of which every one occurs.

    Returns
    -------
    log_proba : ndarray of shape (n, n_classes), float32
        As if all classes were equally frequent.
    """
    chosen = np.arange(len(nodes))
    if len(nodes) > _ROWS:
        drawn = np.random.RandomState(0).choice(len(nodes), _ROWS, replace=False)
        chosen = np.union1d(drawn, np.unique(y, return_index=True)[1])  # one of each class
    clf = LogisticRegression(class_weight="balanced", max_iter=1000)
    clf.fit(_unit_rows(X[nodes[chosen]]), y[chosen])
    parts = [
        clf.predict_proba(_unit_rows(X[start : start + _ROWS])).astype(np.float32)
        for start in range(0, X.shape[0], _ROWS)
    ]
    return np.log(np.maximum(np.concatenate(parts), SMALLEST_PROBABILITY))


def _unit_rows(X):
    """Of length 1, or 0; the same bits whatever the features are stored in."""
    X = sp.csr_array(X, dtype=np.float32) if sp.issparse(X) else np.asarray(X, np.float32, "C")
    X = X.astype(np.float64)
    length = np.sqrt((X * X).sum(axis=1))
    return sp.diags_array(1 / np.where(length > 0, length, 1)) @ X


def calibrate(logits, nodes, y, weights, prior, opinion=None):
    """``(z - log f) / T + log f + b o``, with T and b >= 0 that make it likely at `nodes`.

    That is temperature scaling (Guo et al., 2017), of what the teacher says beyond the class
    frequencies f, and a logarithmic opinion pool of two: a teacher that knows nothing is left with
    the frequencies.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        z, of the teacher.
    nodes, y : ndarray of shape (n_known,)
        Nodes from whose classes the teacher has not learned.  The fewer, the closer T stays to 1
        and b to 0: the logarithm of T has a standard normal prior, b the half of one.
    weights : ndarray of shape (n_classes,)
        How much a node of each class counts.
    prior : ndarray of shape (n_classes,)
        f, among the labels that the teacher has learned from.
    opinion : ndarray of shape (n, n_classes) or None
        o, the log-probabilities of a second classifier, as if all classes were equally frequent.

    Returns
    -------
    calibrated : ndarray of shape (n, n_classes)

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    if not len(nodes):
        return logits
    log_prior = np.log(prior).astype(logits.dtype)
    parts = [logits - log_prior] + ([] if opinion is None else [opinion])
    known = [rows[nodes].astype(np.float64) for rows in parts]
    factors = _likely_factors(known, y, weights, log_prior).astype(logits.dtype)
    return log_prior + sum(b * rows for b, rows in zip(factors, parts))


def _likely_factors(known, y, weights, log_prior):
    """``1 / T`` and ``b`` of `calibrate`, from what is pooled at the known nodes."""

    def loss(parameters):
        log_temperature, *shares = parameters
        penalty = log_temperature**2 / 2 + sum(b**2 for b in shares) / 2 / _OPINION_SCALE**2
        pooled = sum(b * rows for b, rows in zip((np.exp(-log_temperature), *shares), known))
        pooled = pooled + log_prior
        return penalty - weights[y] @ log_softmax(pooled, axis=1)[np.arange(len(y)), y]

    bounds = [(-_WIDEST, _WIDEST)] + [(0, None)] * (len(known) - 1)
    log_temperature, *shares = minimize(loss, np.zeros(len(bounds)), bounds=bounds).x
    return np.array([np.exp(-log_temperature), *shares])


def calibrate_student(logits, bias, y, weights, prior):
    """``1 / T`` and ``b`` with which ``(z - log f) / T + log f + b o`` makes classes likely.

    A student that was held back is less sure than it might be, and where it is undecided it takes
    the most frequent class too often.  It is calibrated as a teacher is, see `calibrate`; o, the
    `class_bias`, counts as far as the known classes speak for it.

    Parameters
    ----------
    logits : ndarray of shape (n_known, n_classes)
        z, of the student, at nodes whose labels it was not trained on.
    bias : ndarray of shape (n_classes,)
        o.
    y, weights, prior
        See `calibrate`.

    Returns
    -------
    factors : ndarray of shape (2,)
    """
    log_prior = np.log(prior)
    with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of cores
        known = [logits - log_prior, np.broadcast_to(bias, logits.shape)]
        return _likely_factors(known, y, weights, log_prior)


def class_bias(logits, targets):
    """What to add to a student's logits so that it takes each class as often as its targets do.

    Parameters
    ----------
    logits, targets : ndarray of shape (n, n_classes)

    Returns
    -------
    bias : ndarray of shape (n_classes,)
        b / s of the ``softmax(s z + b)`` that is closest to the targets by cross-entropy, with s of
        1/2 at least: a student that has nothing to do with them gets no large biases.
    """
    n_nodes, n_classes = logits.shape
    counts = targets.sum(axis=1, keepdims=True)

    def loss_and_gradient(parameters):
        scale, bias = np.exp(parameters[0]), parameters[1:]
        log_proba = log_softmax(scale * logits + bias, axis=1)
        excess = counts * np.exp(log_proba) - targets
        gradient = [scale * (excess * logits).sum(), *excess.sum(axis=0)]
        # A class without any target is not to be ruled out.
        penalty, slope = 1e-4 * bias @ bias, [0, *(2e-4 * bias)]
        loss = -(targets * log_proba).sum() / n_nodes
        return loss + penalty, np.array(gradient) / n_nodes + slope

    bounds = [(-np.log(2), _WIDEST)] + [(None, None)] * n_classes
    with threadpool_limits(1, user_api="blas"):
        found = minimize(loss_and_gradient, np.zeros(1 + n_classes), jac=True, bounds=bounds).x
    return found[1:] / np.exp(found[0])


def class_frequencies(logits):
    """Frequencies of the classes in the graph: the mean of calibrated probabilities.

    This is the first step of the expectation-maximisation of Saerens et al. (2002); further
    ones follow the errors of a weak classifier.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Of all nodes, calibrated.

    Returns
    -------
    frequencies : ndarray of shape (n_classes,)

    References
    ----------
    Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 14, 2002.
    """
    return softmax(logits, axis=1).mean(axis=0, dtype=np.float64)


def usable_frequencies(frequencies, labels):
    """`frequencies`, but for a class that the teacher does not know those of the labels.

    That is one of which more nodes are known than estimated; what the teacher predicts of it is
    then left alone.
    """
    known = labels.frequencies(*ROLES, n_classes=len(frequencies))
    share = len(labels.positions(*ROLES)) / len(labels.codes)
    return np.where(frequencies < known * share, known, frequencies)


def reliability(logits, around, opinion, nodes, y, weights):
    """The probability at every node that the class the teacher gives it is the right one.

    A logistic regression on how sure the teacher is, how far the predictions of the neighbours
    agree with it, and how far the second opinion does.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Of the adapted teacher.
    around : ndarray of shape (n, n_classes)
        The mean of the neighbours' probabilities.
    opinion : ndarray of shape (n, n_classes) or None
        Log-probabilities of a second classifier.
    nodes, y : ndarray of shape (n_known,)
        Nodes from whose classes the teacher has not learned.
    weights : ndarray of shape (n_classes,)
        How much a node of each class counts.

    Returns
    -------
    reliability : ndarray of shape (n,), float32
        All 1 where the known nodes do not show any difference.
    """
    classes = logits.argmax(axis=1)
    right = classes[nodes] == y
    if right.all() or not right.any():
        return np.ones(len(logits), np.float32)
    confidence = softmax(logits, axis=1).max(axis=1)
    signals = [logit(confidence.clip(1e-6, 1 - 1e-6)), _entries(around, classes)]
    if opinion is not None:
        signals.append(_entries(opinion, classes))
    X = np.stack(signals, axis=1).astype(np.float64)
    X = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-6)
    clf = LogisticRegression(C=0.1).fit(X[nodes], right, sample_weight=weights[y])
    return clf.predict_proba(X)[:, 1].astype(np.float32)


def _entries(rows, columns):
    return rows[np.arange(len(rows)), columns]
