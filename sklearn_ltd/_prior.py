"""A teacher adapted to the graph: probabilities to be trusted, and the graph's class frequencies.

Labels are often drawn class by class, so that the frequencies of the classes among them say
nothing of those in the graph; what was learned from them predicts rare classes too often.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ._labels import ROLES

_WIDEST = np.log(20)


def calibrate(logits, nodes, y, weights):
    """Logits divided by the temperature that makes them likely at `nodes` (Guo et al., 2017).

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
    nodes, y : ndarray of shape (n_known,)
        Nodes from whose classes the teacher has not learned.  The fewer, the closer the
        temperature stays to 1: its logarithm has a standard normal prior.
    weights : ndarray of shape (n_classes,)
        How much a node of each class counts.

    Returns
    -------
    calibrated : ndarray of shape (n, n_classes)

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    if not len(nodes):
        return logits
    known = logits[nodes].astype(np.float64)

    def loss(log_temperature):
        log_proba = log_softmax(known / np.exp(log_temperature), axis=1)
        return log_temperature**2 / 2 - weights[y] @ log_proba[np.arange(len(y)), y]

    best = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded").x
    return logits / np.exp(best).astype(logits.dtype)


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
