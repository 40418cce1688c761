"""Roles of labelled nodes, and what counts as no label."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sklearn_ltd._labels import draw_roles, encode_labels, is_unlabeled
from sklearn_ltd.model_selection import assign_roles

FRACTIONS = {"temperature": 0.4, "stop": 0.2}
NAN = float("nan")


def objects(*values):
    return np.array(values, dtype=object)


def draw(codes, seed=0, fractions=FRACTIONS):
    return draw_roles(np.asarray(codes), fractions, np.random.RandomState(seed))


# assign_roles


@pytest.mark.parametrize("dtype", [int, float, str, object])
def test_every_class_gets_the_asked_number_of_each_role(dtype):
    y = np.repeat([3, 5, 8], [10, 7, 30]).astype(dtype)
    role = assign_roles(y, 3, 2, 1, random_state=0)
    assert role.shape == y.shape
    for name, count in {"train": 3, "temperature": 2, "stop": 1}.items():
        classes, counts = np.unique(y[role == name], return_counts=True)
        assert_array_equal(classes, np.unique(y))
        assert_array_equal(counts, count)
    assert (role == "").sum() == len(y) - 18


def test_the_default_numbers_are_those_of_the_paper():
    role = assign_roles(np.repeat([0, 1], 60), random_state=0)
    counts = [(role == name).sum() for name in ("train", "temperature", "stop", "")]
    assert counts == [40, 40, 20, 20]


def test_a_class_may_be_used_up():
    role = assign_roles([0, 0, 0, 1, 1, 1], 1, 1, 1, random_state=0)
    assert sorted(role[:3]) == sorted(role[3:]) == ["stop", "temperature", "train"]


def test_roles_can_be_left_out():
    role = assign_roles([0] * 3 + [1] * 3, n_train=2, n_temperature=0, n_stop=0, random_state=0)
    assert (role == "train").sum() == 4
    assert (role == "").sum() == 2


def test_roles_depend_on_the_seed_only():
    y = np.repeat([0, 1], 50)
    first = assign_roles(y, 5, 5, 5, random_state=1)
    assert_array_equal(first, assign_roles(y, 5, 5, 5, random_state=1))
    assert_array_equal(first, assign_roles(y, 5, 5, 5, random_state=np.random.RandomState(1)))
    assert (first != assign_roles(y, 5, 5, 5, random_state=2)).any()


@pytest.mark.parametrize(
    "y",
    [
        [0, 0, 0, -1, 1, 1, 1, -1],
        [0.0, 0, 0, NAN, 1, 1, 1, NAN],
        ["a", "a", "a", None, "b", "b", "b", None],
        pd.Series(["a", "a", "a", None, "b", "b", "b", None]),
        pd.Series(["a", "a", "a", None, "b", "b", "b", None], dtype="category"),
        pd.Series(["a", "a", "a", None, "b", "b", "b", None], dtype="string"),
        pd.Series([0, 0, 0, None, 1, 1, 1, None], dtype="Int64"),
        ["a", "a", "a", NAN, "b", "b", "b", NAN],
    ],
    ids=["-1", "NaN", "None", "Series", "category", "string", "Int64", "list with NaN"],
)
def test_unlabelled_nodes_get_no_role(y):
    role = assign_roles(y, 1, 1, 1, random_state=0)
    assert_array_equal(np.flatnonzero(role == ""), [3, 7])


def test_a_list_is_not_changed():
    y = [0, 0, -1, 1, 1]
    assign_roles(y, 1, 1, 0, random_state=0)
    assert y == [0, 0, -1, 1, 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 0, 0, 1, 1], r"class 1 has 2 labelled nodes, but .* = 3\. Ask for fewer per class"),
        (["a", "a", "a", "b"], "class 'b' has 1 labelled nodes"),
        ([0, 0, 0, 1, 1, -1, -1], "class 1 has 2 labelled nodes"),
    ],
)
def test_classes_with_too_few_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        assign_roles(y, 1, 1, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_train": 0}, "'n_train' parameter"),
        ({"n_temperature": -1}, "'n_temperature' parameter"),
        ({"n_stop": 1.5}, "'n_stop' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"y": 3}, "'y' parameter"),
    ],
)
def test_wrong_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        assign_roles(**({"y": [0, 1]} | params))


# draw_roles


@pytest.mark.parametrize("seed", range(3))
def test_totals_follow_the_fractions(seed):
    codes = np.random.RandomState(seed).randint(0, 7, 700)
    role = draw(codes, seed)
    assert abs((role == "temperature").sum() - 280) <= 1
    assert abs((role == "stop").sum() - 140) <= 1
    assert abs((role == "train").sum() - 280) <= 2


def test_large_classes_are_stratified():
    codes = np.repeat([0, 1, 2], [50, 100, 200])
    role = draw(codes)
    for code, size in enumerate([50, 100, 200]):
        inside = role[codes == code]
        assert abs((inside == "temperature").sum() - 0.4 * size) <= 1
        assert abs((inside == "stop").sum() - 0.2 * size) <= 1


@pytest.mark.parametrize("fractions", [FRACTIONS, {"temperature": 0.8, "stop": 0.15}])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_keeps_a_label_to_train_on(fractions, seed):
    rng = np.random.RandomState(seed)
    codes = rng.permutation(np.repeat(np.arange(6), rng.randint(1, 6, 6)))
    role = draw(codes, seed, fractions)
    assert_array_equal(np.unique(codes[role == "train"]), np.arange(6))


@pytest.mark.parametrize("n_classes", range(2, 11))
def test_two_labels_per_class_are_enough_for_all_roles(n_classes):
    codes = np.repeat(np.arange(n_classes), 2)
    for seed in range(20):
        role = draw(codes, seed)
        assert set(role) == {"train", "temperature", "stop"}
        assert set(codes[role == "train"]) == set(range(n_classes))


def test_a_tiny_fraction_still_gives_the_role_one_label():
    role = draw(np.repeat([0, 1], 10), fractions={"stop": 0.01})
    assert (role == "stop").sum() == 1


def test_without_fractions_all_labels_train():
    assert set(draw([0, 1, 1, 0], fractions={})) == {"train"}


def test_single_labels_all_train():
    assert set(draw([0, 1, 2])) == {"train"}


def test_the_draw_depends_on_the_seed_only():
    codes = np.repeat([0, 1], 20)
    assert_array_equal(draw(codes, 5), draw(codes, 5))
    assert (draw(codes, 5) != draw(codes, 6)).any()


# Labels

CODED = [
    ([2, 0, -1, 2], [1, 0, -1, 1], [0, 2]),
    ([2.5, NAN, 1, -1], [1, -1, 0, -1], [1, 2.5]),
    ([-1, 1, -1], [0, 1, 0], [-1, 1]),
    ([-1.0, 1, NAN], [0, 1, -1], [-1, 1]),
    ([-1, 0, 1], [-1, 0, 1], [0, 1]),
    ([-1, 1, 2], [-1, 0, 1], [1, 2]),
    ([-1, 2], [-1, 0], [2]),
    ([-2, -1, 1], [0, -1, 1], [-2, 1]),
    ([-1, -1], [-1, -1], []),
    ([True, False], [1, 0], [False, True]),
    (np.array([3, 1], dtype=np.uint8), [1, 0], [1, 3]),
    (["b", "a", "-1"], [2, 1, 0], ["-1", "a", "b"]),
    (objects("b", None, "a", NAN), [1, -1, 0, -1], ["a", "b"]),
    (objects("b", "-1"), [1, 0], ["-1", "b"]),
    (objects(2, None, -1, 0), [1, -1, -1, 0], [0, 2]),
    (objects(-1, None, 1), [0, -1, 1], [-1, 1]),
    (objects(True, None, False), [1, -1, 0], [False, True]),
    (objects(None, None), [-1, -1], []),
]


@pytest.mark.parametrize(("y", "codes", "classes"), CODED)
def test_labels_are_encoded(y, codes, classes):
    y = np.asarray(y)
    found, names = encode_labels(y)
    assert_array_equal(found, codes)
    assert names.tolist() == classes
    assert_array_equal(is_unlabeled(y), np.array(codes) == -1)
