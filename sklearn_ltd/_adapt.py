"""A teacher adapted to the graph, before it is imitated.

Its probabilities are to be trusted, heed what the features of a node say without its neighbours,
and stand for the class frequencies of the graph: labels are often drawn class by class, so that the
frequencies among them say nothing of those in the graph.  And where it is likely to be wrong, it
counts for less.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from ._labels import ROLES

_WIDEST = np.log(20)  # of the logarithm of a temperature
_OPINION_SCALE = 0.5  # of the prior of the second opinion's weight
_ROWS = 2**16  # learned from at most, and predicted at once


def second_opinion(X, nodes, y):
    """What the features say without the graph: log-probabilities of a logistic regression.

    A teacher that averages over neighbours errs where they differ in class; this one does not look
    at them.

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
    one_of_each = np.unique(y, return_index=True)[1]
    chosen = np.union1d(np.arange(0, len(nodes), -(-len(nodes) // _ROWS)), one_of_each)
    clf = make_pipeline(Normalizer(), LogisticRegression(class_weight="balanced", max_iter=1000))
    clf.fit(X[nodes[chosen]], y[chosen])
    rows = (X[start : start + _ROWS] for start in range(0, X.shape[0], _ROWS))
    return np.concatenate([clf.predict_log_proba(part).astype(np.float32) for part in rows])


def calibrate(logits, nodes, y, weights, opinion=None):
    """``z / T + b o``, with T and b >= 0 that make it likely at `nodes`.

    That is temperature scaling (Guo et al., 2017) and a logarithmic opinion pool of two.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        z, of the teacher.
    nodes, y : ndarray of shape (n_known,)
        Nodes from whose classes the teacher has not learned.  The fewer, the closer T stays to 1
        and b to 0: the logarithm of T has a standard normal prior, b the half of one.
    weights : ndarray of shape (n_classes,)
        How much a node of each class counts.
    opinion : ndarray of shape (n, n_classes) or None
        o, the log-probabilities of a second classifier.

    Returns
    -------
    calibrated : ndarray of shape (n, n_classes)

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    if not len(nodes):
        return logits
    opinions = [] if opinion is None else [opinion]
    known = [rows[nodes].astype(np.float64) for rows in (logits, *opinions)]

    def loss(parameters):
        log_temperature, *shares = parameters
        penalty = log_temperature**2 / 2 + sum(b**2 for b in shares) / 2 / _OPINION_SCALE**2
        pooled = sum(b * rows for b, rows in zip((np.exp(-log_temperature), *shares), known))
        return penalty - weights[y] @ log_softmax(pooled, axis=1)[np.arange(len(y)), y]

    bounds = [(-_WIDEST, _WIDEST)] + [(0, None)] * len(opinions)
    log_temperature, *shares = minimize(loss, np.zeros(len(bounds)), bounds=bounds).x
    factors = np.array([np.exp(-log_temperature), *shares], logits.dtype)
    return sum(b * rows for b, rows in zip(factors, (logits, *opinions)))


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
    confidence = softmax(logits, axis=1).max(axis=1).astype(np.float64)
    signals = [logit(confidence.clip(1e-6, 1 - 1e-6)), _entries(around, classes)]
    if opinion is not None:
        signals.append(_entries(opinion, classes))
    X = StandardScaler().fit_transform(np.stack(signals, axis=1))
    clf = LogisticRegression(C=0.1).fit(X[nodes], right, sample_weight=weights[y])
    return clf.predict_proba(X)[:, 1].astype(np.float32)


def _entries(rows, columns):
    return rows[np.arange(len(rows)), columns]
