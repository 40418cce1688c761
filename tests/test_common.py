"""scikit-learn's own checks of an estimator, all of them."""

from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ltd import GNNNodeClassifier, KNNGraph, LTDNodeClassifier

# scikit-learn expects these two of its own Pipeline as well.
PIPELINE = dict.fromkeys(
    ["check_dont_overwrite_parameters", "check_estimators_overwrite_params"],
    "Pipeline fits its steps in place",
)
RETURNS_A_GRAPH = dict.fromkeys(
    [
        "check_pipeline_consistency",
        "check_estimators_pickle",
        "check_transformer_data_not_an_array",
        "check_transformer_general",
        "check_transformer_preserve_dtypes",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_fit_idempotent",
    ],
    "compares the output of transform as an array, but it is a Graph",
)
SETTINGS = {"hidden_dim": 16, "max_iter": 40, "n_iter_no_change": 20, "random_state": 0}


def expected_failures(estimator):
    if isinstance(estimator, Pipeline):
        return PIPELINE
    return RETURNS_A_GRAPH if isinstance(estimator, KNNGraph) else {}


@parametrize_with_checks(
    [
        make_pipeline(KNNGraph(), LTDNodeClassifier(device="cpu", **SETTINGS)),
        make_pipeline(KNNGraph(), GNNNodeClassifier(device="cpu", **SETTINGS)),
        KNNGraph(),
        # scikit-learn skips what needs a feature matrix: the tag says that the input is none.
        LTDNodeClassifier(device="cpu", **SETTINGS),
    ],
    expected_failed_checks=expected_failures,
)
def test_sklearn_checks(estimator, check):
    check(estimator)
