"""What a scikit-learn user does with a classifier, done with a graph in place of a matrix."""

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, accuracy_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    LearningCurveDisplay,
    LeaveOneGroupOut,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from sklearn_ltd import GNNNodeClassifier, Graph, KNNGraph, LTDNodeClassifier, NodeFeatures
from sklearn_ltd.datasets import make_attributed_sbm

N = 90
SETTINGS = {"hidden_dim": 8, "max_iter": 8, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    return make_attributed_sbm(n_nodes=N, n_classes=3, n_features=10, random_state=0)


@pytest.fixture(scope="module")
def graph(data):
    return data.graph


@pytest.fixture(scope="module")
def y(data):
    return data.y


@pytest.fixture
def gnn():
    return GNNNodeClassifier("sgc", **SETTINGS)


@pytest.fixture
def ltd():
    return LTDNodeClassifier("sgc", "sgc", **SETTINGS)


SPLITTERS = {
    "KFold": KFold(3, shuffle=True, random_state=0),
    "StratifiedKFold": StratifiedKFold(3),
    "Repeated": RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
    "ShuffleSplit": ShuffleSplit(2, random_state=0),
    "StratifiedShuffleSplit": StratifiedShuffleSplit(2, random_state=0),
    "GroupKFold": GroupKFold(3),
    "StratifiedGroupKFold": StratifiedGroupKFold(3),
    "LeaveOneGroupOut": LeaveOneGroupOut(),
    "TimeSeriesSplit": TimeSeriesSplit(3),
    "PredefinedSplit": PredefinedSplit(np.arange(N) % 3),
    "masks": [(np.arange(N) % 2 == 0, np.arange(N) % 2 == 1)],
    "int": 3,
}


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_every_splitter_splits_a_graph(splitter, gnn, graph, y):
    groups = np.arange(N) % 5 if "Group" in splitter else None
    scores = cross_val_score(
        gnn, graph, y, cv=SPLITTERS[splitter], groups=groups, error_score="raise"
    )
    assert np.isfinite(scores).all()


def test_cross_validate_trains_on_one_part_and_scores_the_other(ltd, graph, y):
    result = cross_validate(
        ltd,
        graph,
        y,
        cv=3,
        scoring=["accuracy", "neg_log_loss", "roc_auc_ovr"],
        return_train_score=True,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for clf, train, test, score in zip(
        result["estimator"],
        result["indices"]["train"],
        result["indices"]["test"],
        result["test_accuracy"],
    ):
        alone = clone(ltd).fit(graph[train], y[train])
        np.testing.assert_array_equal(alone.predict_proba(graph), clf.predict_proba(graph))
        assert alone.score(graph[test], y[test]) == score


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_val_predict(method, gnn, graph, y):
    assert len(cross_val_predict(gnn, graph, y, cv=3, method=method)) == N


def test_partly_labelled_graphs_are_validated_on_the_labelled_nodes(gnn, graph, y):
    mask = np.arange(N) % 2 == 0
    partly = np.where(mask, y, -1)
    result = cross_validate(gnn, graph[mask], partly[mask], cv=3, error_score="raise")
    assert len(result["test_score"]) == 3


@pytest.mark.parametrize(
    "search",
    [
        lambda clf: GridSearchCV(clf, {"backbone": ["gcn", "sgc"]}, cv=2),
        lambda clf: RandomizedSearchCV(clf, {"dropout": [0.1, 0.5]}, n_iter=2, cv=2),
        lambda clf: HalvingGridSearchCV(
            clf, {"dropout": [0.1, 0.5]}, cv=2, resource="max_iter", max_resources=8
        ),
        lambda clf: HalvingRandomSearchCV(
            clf, {"dropout": [0.1, 0.5]}, cv=2, resource="max_iter", max_resources=8
        ),
    ],
    ids=["grid", "randomized", "halving grid", "halving randomized"],
)
def test_searches(search, gnn, graph, y):
    search = search(gnn).set_params(error_score="raise").fit(graph, y)
    assert 0 <= search.best_score_ <= 1
    assert search.predict(graph[:5]).shape == (5,)


def test_nested_parameters_of_the_teacher_are_searched(graph, y):
    clf = LTDNodeClassifier(GNNNodeClassifier("sgc", **SETTINGS), "gcn", **SETTINGS)
    search = GridSearchCV(clf, {"teacher__hidden_dim": [4, 8]}, cv=2, error_score="raise")
    search.fit(graph, y)
    fitted = search.best_estimator_
    assert fitted.teacher_.hidden_dim == search.best_params_["teacher__hidden_dim"]


def test_processes_give_the_scores_of_one_process(ltd, graph, y):
    one = cross_val_score(ltd, graph, y, cv=3, n_jobs=1, scoring="neg_log_loss")
    two = cross_val_score(ltd, graph, y, cv=3, n_jobs=2, scoring="neg_log_loss")
    np.testing.assert_array_equal(one, two)


def test_curves(gnn, graph, y):
    cv = ShuffleSplit(2, random_state=0)
    sizes, _, scores = learning_curve(gnn, graph, y, train_sizes=[0.5, 1.0], cv=cv)
    assert scores.shape == (len(sizes), 2)
    _, scores = validation_curve(
        gnn, graph, y, param_name="hidden_dim", param_range=[2, 8], cv=cv, error_score="raise"
    )
    assert scores.shape == (2, 2)


def test_permutation_test_score(graph, y):
    clf = GNNNodeClassifier("sgc", max_iter=40, random_state=0, device="cpu")
    score, permuted, _ = permutation_test_score(clf, graph, y, cv=3, n_permutations=3)
    assert score > permuted.max()


def test_train_test_split_gives_views_of_one_graph(gnn, graph, y):
    graph_train, graph_test, y_train, y_test = train_test_split(
        graph, y, stratify=y, random_state=0
    )
    assert graph_train.adjacency is graph.adjacency is graph_test.adjacency
    np.testing.assert_array_equal(y[graph_test.nodes], y_test)
    assert gnn.fit(graph_train, y_train).predict(graph_test).shape == y_test.shape


META = {
    "calibrated": lambda clf: CalibratedClassifierCV(clf, cv=2),
    "calibrated frozen": None,
    "voting hard": lambda clf: VotingClassifier([("a", clf), ("b", clone(clf))]),
    "voting soft": lambda clf: VotingClassifier([("a", clf), ("b", clone(clf))], voting="soft"),
    "stacking": lambda clf: StackingClassifier([("a", clf), ("b", clone(clf))], cv=2),
    "one vs rest": lambda clf: OneVsRestClassifier(clf),
    "pipeline": lambda clf: make_pipeline(NodeFeatures(StandardScaler()), clf),
}


@pytest.mark.parametrize("name", [name for name, make in META.items() if make])
@pytest.mark.parametrize("kind", ["gnn", "ltd"])
def test_meta_estimators(name, kind, request, graph, y):
    clf = META[name](request.getfixturevalue(kind)).fit(graph, y)
    assert clf.predict(graph[:7]).shape == (7,)
    assert set(clf.predict(graph)) <= set(y)
    if name != "voting hard":
        np.testing.assert_allclose(clf.predict_proba(graph).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("meta", [TunedThresholdClassifierCV, FixedThresholdClassifier])
def test_thresholds(meta, gnn, graph, y):
    binary = (y == 1).astype(int)
    assert set(meta(gnn).fit(graph, binary).predict(graph)) <= {0, 1}


def test_a_frozen_classifier_is_calibrated_on_other_nodes(gnn, graph, y):
    gnn.fit(graph[:45], y[:45])
    calibrated = CalibratedClassifierCV(FrozenEstimator(gnn)).fit(graph[45:], y[45:])
    assert calibrated.predict_proba(graph).shape == (N, 3)


def test_several_targets(gnn, graph, y):
    targets = np.column_stack([y, y == 0])
    assert MultiOutputClassifier(gnn).fit(graph, targets).predict(graph).shape == (N, 2)


def test_displays(gnn, graph, y):
    pytest.importorskip("matplotlib").use("Agg")
    binary = (y == 1).astype(int)
    gnn.fit(graph[:60], binary[:60])
    ConfusionMatrixDisplay.from_estimator(gnn, graph[60:], binary[60:])
    RocCurveDisplay.from_estimator(gnn, graph[60:], binary[60:])
    CalibrationDisplay.from_estimator(gnn, graph[60:], binary[60:])
    LearningCurveDisplay.from_estimator(gnn, graph, y, cv=2, train_sizes=[0.5, 1.0])


@pytest.mark.parametrize(
    ("transformer", "sparse"),
    [
        (StandardScaler(), False),
        (StandardScaler(with_mean=False), True),
        (TfidfTransformer(), True),
        (TruncatedSVD(4, random_state=0), True),
    ],
    ids=["scale", "scale sparse", "tfidf", "svd"],
)
def test_node_features_keep_the_graph_and_sparse_features_sparse(
    transformer, sparse, graph, y, gnn
):
    X = np.abs(graph.X)
    graph = Graph(graph.adjacency, sp.csr_array(X) if sparse else X)
    features = NodeFeatures(transformer).fit(graph[:50], y[:50])
    out = features.transform(graph[50:])
    assert out.adjacency is graph.adjacency
    np.testing.assert_array_equal(out.nodes, np.arange(50, N))
    expected = clone(transformer).fit(graph.X[:50]).transform(graph.X)
    assert sp.issparse(out.X) == sp.issparse(expected)
    dense = [m.toarray() if sp.issparse(m) else m for m in (out.X, expected)]
    np.testing.assert_allclose(*dense, rtol=1e-5)
    pipe = make_pipeline(NodeFeatures(transformer), gnn).fit(graph[:50], y[:50])
    assert pipe.score(graph[50:], y[50:]) >= 0


def test_pipelines_with_memory_and_a_search_over_their_parts(tmp_path, graph, y, gnn):
    pipe = make_pipeline(NodeFeatures(TruncatedSVD(4, random_state=0)), gnn, memory=str(tmp_path))
    grid = {"nodefeatures__transformer__n_components": [2, 4]}
    first = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(graph, y)
    again = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(graph, y)
    np.testing.assert_array_equal(
        first.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"]
    )


def test_node_features_read_no_label_outside_the_mask(graph, y):
    selector = SelectKBest(f_classif, k=4)
    mask = np.arange(N) % 2 == 0
    garbled = np.where(mask, y, (y + 1) % 3)
    one, other, view = (
        NodeFeatures(selector).fit(g, labels, m).transform(graph).X
        for g, labels, m in [(graph, y, mask), (graph, garbled, mask), (graph[mask], y[mask], None)]
    )
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, view)
    unlabeled = NodeFeatures(selector).fit(graph, np.where(mask, y, -1)).transform(graph).X
    np.testing.assert_array_equal(one, unlabeled)


def test_node_features_can_be_fitted_again(graph):
    features = NodeFeatures(StandardScaler()).fit(graph)
    narrow = graph.with_features(graph.X[:, :3], ["a", "b", "c"])
    assert features.fit(narrow).transform(narrow).shape == (N, 3)
    with pytest.raises(ValueError, match="X has 10 features, but NodeFeatures is expecting 3"):
        features.transform(graph)
    with pytest.raises(ValueError, match="feature names should match"):
        features.transform(graph.with_features(graph.X[:, :3], ["c", "b", "a"]))
    assert not hasattr(features.fit(graph), "feature_names_in_")


@pytest.fixture
def people():
    """A graph whose features have names."""
    pd = pytest.importorskip("pandas")
    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"age": rng.randint(18, 80, N) * 1.0, "sex": rng.randint(0, 2, N) * 1.0})
    return Graph(sp.random_array((N, N), density=0.1, random_state=rng), frame)


def test_the_names_of_features_pass_through_a_transformer(people):
    names = ["age", "sex"]
    features = NodeFeatures(StandardScaler()).fit(people[:50])
    assert features.transform(people).feature_names.tolist() == names
    as_frame = NodeFeatures(StandardScaler().set_output(transform="pandas")).fit(people[:50])
    assert as_frame.transform(people).feature_names.tolist() == names
    np.testing.assert_array_equal(as_frame.transform(people).X, features.transform(people).X)
    np.testing.assert_allclose(features.transform(people).X[:50].mean(axis=0), 0, atol=1e-6)


def test_a_column_transformer_chooses_features_by_name(people):
    columns = ColumnTransformer([("scale", StandardScaler(), ["age"])], remainder="passthrough")
    out = NodeFeatures(columns).fit(people).transform(people)
    assert out.feature_names.tolist() == ["scale__age", "remainder__sex"]
    np.testing.assert_array_equal(out.X[:, 1], people.X[:, 1])


def test_names_are_left_out_where_a_transformer_does_not_tell_them(people):
    steps = make_pipeline(FunctionTransformer(np.log1p), StandardScaler())
    out = NodeFeatures(steps).fit(people).transform(people)
    assert out.feature_names is None
    np.testing.assert_allclose(out.X, steps.fit_transform(people.X), atol=1e-6)


def test_names_of_sparse_features_pass_through_as_well(people):
    sparse = people.with_features(sp.csr_array(people.X), people.feature_names)
    out = NodeFeatures(MaxAbsScaler()).fit(sparse).transform(sparse)
    assert out.feature_names.tolist() == ["age", "sex"]


@pytest.mark.parametrize("form", ["frame", "array", "sparse"])
def test_a_transformer_that_works_in_place_leaves_the_graph_alone(form, people):
    if form != "frame":
        X = sp.csr_array(people.X) if form == "sparse" else people.X
        people = Graph(people.adjacency, X.astype(float))
    before = people.X.copy()
    features = NodeFeatures(MaxAbsScaler(copy=False)).fit(people)
    first, second = features.transform(people).X, features.transform(people).X
    assert abs(people.X - before).max() == 0
    assert abs(first - second).max() == 0
    assert abs(first).max() == 1


def test_a_selector_that_needs_no_labels(people):
    NodeFeatures(VarianceThreshold()).fit(people).transform(people)
    with pytest.raises(ValueError, match="requires y"):
        NodeFeatures(SelectKBest(k=1)).fit(people)


def test_ties_between_neighbours_do_not_depend_on_the_number_of_threads():
    X = np.random.RandomState(0).randint(0, 3, (1000, 20)).astype(float)
    graphs = []
    for n_threads in (1, 4):
        with threadpool_limits(n_threads):
            knn = KNNGraph(5)
            graphs += [knn.fit_transform(X[:900]), knn.transform(X[900:])]
    assert (graphs[0].adjacency != graphs[2].adjacency).nnz == 0
    assert (graphs[1].adjacency != graphs[3].adjacency).nnz == 0


def test_knn_graph_links_new_samples_from_training_samples_only():
    X = np.random.RandomState(0).standard_normal((40, 5))
    knn = KNNGraph(n_neighbors=4)
    train = knn.fit_transform(X[:30])
    assert (train.adjacency != train.adjacency.T).nnz == 0
    new = knn.transform(X[30:])
    assert new.n_nodes == 40
    np.testing.assert_array_equal(new.nodes, np.arange(30, 40))
    assert (new.adjacency[:30, :30] != train.adjacency).nnz == 0
    assert new.adjacency[30:].nnz == 0
    np.testing.assert_array_equal(new.adjacency[:30, 30:].sum(axis=0), np.full(10, 4))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_prediction_for_a_new_sample_does_not_depend_on_the_others(sparse):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((60, 5)), np.arange(60) % 3
    X = sp.csr_array(X) if sparse else X
    pipe = make_pipeline(KNNGraph(5), LTDNodeClassifier(**SETTINGS)).fit(X[:40], y[:40])
    together = pipe.predict_proba(X[40:])
    alone = np.vstack([pipe.predict_proba(X[[i]]) for i in range(40, 60)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("metric", ["minkowski", "cosine"])
def test_a_training_sample_is_its_node(metric, sparse):
    X = np.vstack([np.random.RandomState(0).standard_normal((28, 5)), np.eye(2, 5)])
    X[3] = 2 * X[1]  # a tie for the cosine
    X = sp.csr_array(X) if sparse else X
    knn = KNNGraph(n_neighbors=4, metric=metric)
    train = knn.fit_transform(X)
    again = knn.transform(X[[3, 1]])
    assert again.adjacency is train.adjacency
    np.testing.assert_array_equal(again.nodes, [3, 1])


@pytest.mark.parametrize("routing", [False, True])
def test_masks_and_roles_are_split_with_the_graph(routing, ltd, graph, y):
    mask = np.arange(N) % 3 != 0
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            ltd.set_fit_request(labeled_mask=True)
        result = cross_validate(
            ltd,
            graph,
            y,
            cv=KFold(2),
            params={"labeled_mask": mask},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for clf, train in zip(result["estimator"], result["indices"]["train"]):
        alone = clone(ltd).fit(graph[train], y[train], mask[train])
        np.testing.assert_array_equal(alone.predict_proba(graph), clf.predict_proba(graph))


def test_roles_are_routed_through_a_pipeline(ltd, graph, y):
    role = np.where(np.arange(N) % 4 < 2, "train", "temperature").astype("<U11")
    role[::9] = "stop"
    with sklearn.config_context(enable_metadata_routing=True):
        ltd.set_fit_request(role=True)
        pipe = make_pipeline(NodeFeatures(StandardScaler()), ltd).fit(graph, y, role=role)
    alone = make_pipeline(NodeFeatures(StandardScaler()))
    scaled = alone.fit_transform(graph)
    expected = clone(ltd).fit(scaled, y, role=role).predict_proba(scaled)
    np.testing.assert_array_equal(pipe.predict_proba(graph), expected)


def test_only_masks_and_roles_can_be_requested(ltd):
    assert set(ltd.get_metadata_routing().fit.requests) == {"labeled_mask", "role"}
    assert set(ltd.get_metadata_routing().predict.requests) == set()
    assert set(ltd.get_metadata_routing().score.requests) == {"sample_weight"}


def test_the_html_shows_the_parameters(ltd):
    html = ltd._repr_html_()
    assert "LTDNodeClassifier" in html
    assert "temperature_fraction" in html


def test_scorers_and_sample_weights(gnn, graph, y):
    gnn.fit(graph, y)
    weights = np.arange(N)
    expected = accuracy_score(y, gnn.predict(graph), sample_weight=weights)
    assert gnn.score(graph, y, weights) == expected
    assert make_scorer(accuracy_score)(gnn, graph, y) == gnn.score(graph, y)


NOT_AN_ARRAY = "a Graph is not an array.*graph.X.*GNNNodeClassifier or LTDNodeClassifier"


@pytest.mark.parametrize(
    "use",
    [
        lambda clf, graph, y: BaggingClassifier(clf).fit(graph, y),
        lambda clf, graph, y: AdaBoostClassifier(clf).fit(graph, y),
        lambda clf, graph, y: OneVsOneClassifier(clf).fit(graph, y),
        lambda clf, graph, y: OutputCodeClassifier(clf, random_state=0).fit(graph, y),
        lambda clf, graph, y: ClassifierChain(clf).fit(graph, np.column_stack([y, y])),
        lambda clf, graph, y: SelfTrainingClassifier(clf).fit(graph, y),
        lambda clf, graph, y: permutation_importance(clf.fit(graph, y), graph, y),
        lambda clf, graph, y: StackingClassifier([("a", clf)], passthrough=True, cv=2).fit(
            graph, y
        ),
        lambda clf, graph, y: RandomForestClassifier().fit(graph, y),
        lambda clf, graph, y: LogisticRegression().fit(graph, y),
        lambda clf, graph, y: StandardScaler().fit(graph),
    ],
    ids=[
        "Bagging",
        "AdaBoost",
        "OneVsOne",
        "OutputCode",
        "ClassifierChain",
        "SelfTraining",
        "permutation_importance",
        "Stacking(passthrough)",
        "RandomForest",
        "LogisticRegression",
        "StandardScaler",
    ],
)
def test_what_scikit_learn_can_only_do_with_arrays_says_so(use, gnn, graph, y):
    with pytest.raises(TypeError, match=NOT_AN_ARRAY):
        use(gnn, graph, y)


def test_feature_unions_of_graphs_say_so(graph, y):
    union = FeatureUnion(
        [("a", NodeFeatures(StandardScaler())), ("b", NodeFeatures(StandardScaler()))]
    )
    with pytest.raises((TypeError, ValueError), match=r"Graph|array"):
        union.fit_transform(graph, y)


def test_fits_in_threads_with_one_seed_agree(ltd, graph, y):
    first = clone(ltd).fit(graph[:60], y[:60]).predict_proba(graph)
    with joblib.parallel_config("threading", n_jobs=2):
        several = joblib.Parallel()(
            joblib.delayed(lambda: clone(ltd).fit(graph[:60], y[:60]).predict_proba(graph))()
            for _ in range(3)
        )
    for proba in several:
        np.testing.assert_array_equal(proba, first)


def test_new_samples_may_come_in_another_format():
    X = np.random.RandomState(0).rand(60, 5) * (np.random.RandomState(1).rand(60, 5) < 0.5)
    train, new = X[:50], X[45:]
    wide = sp.csr_array(new)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    expected = KNNGraph(3, metric="euclidean").fit(train).transform(new)
    assert expected.n_nodes > 50
    for fitted, other in [(train, wide), (sp.csr_array(train), new), (sp.csr_array(train), wide)]:
        graph = KNNGraph(3, metric="euclidean").fit(fitted).transform(other)
        assert (graph.adjacency != expected.adjacency).nnz == 0
        np.testing.assert_array_equal(graph.nodes, expected.nodes)
