"""scikit-learn's own checks of an estimator."""

from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ltd import GNNNodeClassifier, KNNGraph, LTDNodeClassifier


def small(cls):
    return cls(hidden_dim=16, max_iter=40, n_iter_no_change=20, random_state=0, device="cpu")


@parametrize_with_checks(
    [
        make_pipeline(KNNGraph(), small(GNNNodeClassifier)),
        make_pipeline(KNNGraph(), small(LTDNodeClassifier)),
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)
