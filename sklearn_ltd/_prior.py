"""A teacher adapted to the graph: probabilities to be trusted, and the graph's class frequencies.

Labels are often drawn class by class, so that the frequencies of the classes among them say
nothing of those in the graph; what was learned from them predicts rare classes too often.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_WIDEST = np.log(20)


def calibrate(logits, nodes, y):
    """Logits divided by the temperature that makes them likely at `nodes` (Guo et al., 2017).

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
    nodes, y : ndarray of shape (n_known,)
        Nodes whose classes the teacher was not trained on.  The fewer, the closer the
        temperature stays to 1: its logarithm has a standard normal prior.

    Returns
    -------
    calibrated : ndarray of shape (n, n_classes)

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    known = logits[nodes].astype(np.float64)

    def loss(log_temperature):
        log_proba = log_softmax(known / np.exp(log_temperature), axis=1)
        return log_temperature**2 / 2 - log_proba[np.arange(len(y)), y].sum()

    best = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded").x
    return logits / np.exp(best).astype(logits.dtype)


def class_ratio(logits, y):
    """How much more frequent each class is in the graph than among the labels `y`.

    One step of the expectation-maximisation of Saerens et al. (2002), which estimates the
    frequencies in the graph by the mean of calibrated probabilities.  Further steps would follow
    the errors of a weak classifier.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Of all nodes, calibrated.
    y : ndarray of shape (n_known,)
        The class codes from which the logits were learned.

    Returns
    -------
    ratio : ndarray of shape (n_classes,)

    References
    ----------
    Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 14, 2002.
    """
    frequencies = softmax(logits, axis=1).mean(axis=0)
    known = np.bincount(y, minlength=len(frequencies)) / len(y)
    return frequencies / known
