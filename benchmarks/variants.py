"""What was tried for accuracy: variants of the method, of its teacher and of its training.

Same protocol as `paper_tables.py`, on splits that are not reported there (10-19): what is chosen
here is chosen on other labels.  Every run is a row of a CSV file; runs that are there are
skipped.  The research log in docs/ shows what this prints.

    python benchmarks/variants.py --data ../shared/data --graphs cora citeseer --splits 10-15
"""

import argparse
import contextlib
import time
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from paper_tables import BACKBONES, UNADAPTED, load, split_numbers
from resumed import resumed
from scipy.stats import ttest_rel
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._adapt import reliability
from sklearn_ltd._distill import (
    LearnedDistillation,
    TemperatureNetwork,
    heuristic_temperatures,
    soft_targets,
    step_scale,
)
from sklearn_ltd._tensors import shrinkage
from sklearn_ltd._train import clone_state, trainable
from sklearn_ltd.model_selection import assign_roles

FIELDS = ["graph", "backbone", "split", "variant", "test_accuracy", "stop_loss", "best_iter"]
FIELDS += ["seconds"]


class EntrywiseAdam(torch.optim.Adam):
    """Adam as it is known, with a step size in the unit of the features (see `_make_network`)."""

    def add_param_group(self, group):
        unit = group.pop("unit", 1.0)
        own = self.defaults
        scaled = {"lr": own["lr"] / unit, "eps": own["eps"] * unit}
        scaled["weight_decay"] = group.pop("weight_decay", own["weight_decay"]) * unit**2
        super().add_param_group(scaled | group)


class LongSighted(LearnedDistillation):
    """The hypergradient through many steps of the student, at its present parameters.

    ``dL_eval/dq = - d<sum_k (I - P H)^k P dL_eval/dtheta', grad L>/dq``, the Neumann series of the
    implicit hypergradient (Lorraine et al., 2020); H is the Hessian of the distillation loss.
    """

    n_steps = 20

    def _copy(self):
        self.before = self.copies  # on which the step's gradients depend
        super()._copy()

    def _direction(self, outer, gradients):
        term = total = super()._direction(outer, gradients)
        scales = step_scale(self.optimizer, trainable(self.module))
        before = list(self.before.values())
        for _ in range(self.n_steps - 1):
            product = torch.autograd.grad(gradients, before, term, retain_graph=True)
            term = [t - s * h for t, s, h in zip(term, scales, product)]
            total = [a + t for a, t in zip(total, term)]
        return total


class Swapped(LearnedDistillation):
    """The roles "train" and "temperature" change places every ten epochs."""

    def __call__(self):
        if self.n_epochs and self.n_epochs % 10 == 0:
            nodes, y = (self.loss.keywords[name] for name in ("train_nodes", "train_y"))
            theirs = self.evaluation_loss.keywords["y"]
            self.loss = partial(self.loss, train_nodes=self.held_out, train_y=theirs)
            self.evaluation_loss = partial(self.evaluation_loss, y=y)
            self.held_out, self.field = nodes, None
        return super().__call__()


class Weighted(LearnedDistillation):
    """Learned is how much a node's target counts, from 0 to 2; all have one temperature."""

    temperature = 0.5

    def _targets(self, temperatures):
        weights = 1 / (temperatures + 0.5)
        weights = weights / weights.mean()
        same = torch.full_like(temperatures, self.temperature)
        return soft_targets(self.teacher_logits, same, self.weights * weights)


class FromHeuristic(LearnedDistillation):
    """Learned is a factor on the heuristic's temperatures."""

    def __init__(self, module, graph, teacher_logits, *args, **kwargs):
        self.heuristic = 2 * heuristic_temperatures(
            teacher_logits, graph.neighbor_mean, (1.0, 1.0, 1.0), 1.0
        )
        super().__init__(module, graph, teacher_logits, *args, **kwargs)

    def _targets(self, temperatures):
        return soft_targets(self.teacher_logits, self.heuristic * temperatures, self.weights)

    def _temperatures(self):
        return self.heuristic * super()._temperatures()


class Averaged(LearnedDistillation):
    """Judged and kept is an exponential average of the student's weights."""

    decay = 0.9
    average = None

    def __call__(self):
        losses, _ = super().__call__()
        state = clone_state(self.module)
        kept = self.average or state
        self.average = {name: kept[name].lerp(state[name], 1 - self.decay) for name in state}
        self.module.eval()
        with torch.no_grad():
            logits = torch.func.functional_call(self.module, self.average, (self.graph,))
        self.module.train()
        return losses, logits

    def snapshot(self):
        state, *others = super().snapshot()
        return self.average or state, *others


class Consistent(LearnedDistillation):
    """Two passes with dropout are to give the same probabilities."""

    def _distil(self, targets, learning):
        loss = self.loss

        def with_consistency(logits, leaf):
            other = torch.func.functional_call(self.module, self.copies, (self.graph,))
            difference = logits.softmax(1) - other.softmax(1)
            return loss(logits, leaf) + difference.square().sum(1).mean()

        with mock.patch.object(self, "loss", with_consistency):
            return super()._distil(targets, learning)


class Steady(TemperatureNetwork):
    """No dropout, and a start at one temperature for all nodes."""

    dropout = 0.0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        torch.nn.init.zeros_(self.second.weight)
        torch.nn.init.zeros_(self.second.bias)


class Reader(Steady):
    """The inputs are what tells best where the teacher errs: margin and disagreement."""

    def __init__(self, n_classes, features, scale, negative=False):
        super().__init__(2, ("logits",), scale, negative)

    def forward(self, logits, entropy):
        return super().forward(self.signals, entropy)


class Reading(LearnedDistillation):
    def __init__(self, module, graph, teacher_logits, *args, network, **kwargs):
        probabilities = teacher_logits.softmax(1)
        top = probabilities.topk(2, dim=1)
        around = (graph.neighbor_mean @ probabilities).gather(1, top.indices[:, :1])
        margin = top.values[:, :1] - top.values[:, 1:]
        network.signals = torch.cat([margin, around], 1)
        super().__init__(module, graph, teacher_logits, *args, network=network, **kwargs)


def folds_teacher(graph, y, role, backbone, split):
    """Cross-fitted: a labelled node is predicted by a teacher that has not seen its label."""
    known = np.flatnonzero((role == "train") | (role == "temperature"))
    stop = np.flatnonzero(role == "stop")
    total, counts = 0.0, np.zeros(graph.n_nodes)
    folds = StratifiedKFold(4, shuffle=True, random_state=split).split(known, y[known])
    for number, (inside, _) in enumerate(folds):
        own = np.full(len(role), "", dtype=role.dtype)
        own[known[inside]], own[stop] = "train", "stop"
        clf = GNNNodeClassifier(backbone, random_state=split + 100 * number)
        proba = clf.fit(graph, y, role=own).predict_proba(graph)
        seen = np.zeros(graph.n_nodes, bool)
        seen[known[inside]] = True
        total = total + np.where(seen[:, None], 0.0, proba)
        counts += ~seen
    return np.log(np.maximum(total / counts[:, None], 1e-9))


def three_teachers(graph, y, role, backbone, split):
    """The mean of three teachers."""
    proba = [
        GNNNodeClassifier(backbone, random_state=split + 100 * number)
        .fit(graph, y, role=role)
        .predict_proba(graph)
        for number in range(3)
    ]
    return np.log(np.maximum(np.mean(proba, axis=0), 1e-9))


# Stand-ins for `reliability`: first the true class codes and the roles of all nodes, then its own
# arguments.


def alike(y, role, logits, *args):
    """All nodes count the same."""
    return np.ones(len(y), np.float32)


def agreed(y, role, logits, around, *args):
    """The 70 % of nodes count whose neighbours agree most with the teacher."""
    scores = around[np.arange(len(y)), logits.argmax(axis=1)]
    return (scores >= np.quantile(scores, 0.3)).astype(np.float32)


def oracle(y, role, logits, *args):
    """Those nodes count where the teacher is right: reads the labels of the test nodes."""
    return (logits.argmax(axis=1) == y).astype(np.float32)


def best_regression(y, role, logits, around, opinion, *args):
    """The regression is fitted on the labels of all test nodes, not on those that may be read."""
    test = np.flatnonzero(role == "")
    everywhere = np.ones(logits.shape[1])
    return reliability(logits, around, opinion, test, y[test], everywhere)


def one(*args):
    """Stands in for `shrinkage`: averaging does not change the penalty."""
    return 1.0


def unscaled_teacher(graph, y, role, backbone, split):
    with mock.patch("sklearn_ltd._base.shrinkage", one):
        clf = GNNNodeClassifier(backbone, random_state=split)
        return FrozenEstimator(clf.fit(graph, y, role=role))


def adam_teacher(graph, y, role, backbone, split):
    with mock.patch("sklearn_ltd._base.TensorAdam", EntrywiseAdam):
        clf = GNNNodeClassifier(backbone, learning_rate=0.01, random_state=split)
        return FrozenEstimator(clf.fit(graph, y, role=role))


TEACHERS = {
    "cross-fitted": folds_teacher,
    "three": three_teachers,
    "unscaled": unscaled_teacher,
    "Adam": adam_teacher,
}
FROZEN = {"temperature_learning_rate": 0.0}
SCALABLE = {"scalable": True}
ADAM = {"teacher": "Adam", "optimizer": EntrywiseAdam, "learning_rate": 0.01}
# Of all variants but "LTD" and "LTD, 80 % of the labels", which have the defaults.
EVERY_EPOCH = {"temperature_interval": 1, "temperature_learning_rate": 0.001}
# Parameters of LTDNodeClassifier; and the classes, teacher and weights that take the place of ours.
VARIANTS = {
    "teacher": {},
    "LTD": {},
    "every epoch": {},
    "frozen": FROZEN,
    "fixed 0.5": {"temperature": 0.5},
    "fixed 0.2": {"temperature": 0.2},
    "scalable": SCALABLE,
    "unadapted": UNADAPTED,
    "unadapted frozen": UNADAPTED | FROZEN,
    "unadapted scalable": UNADAPTED | SCALABLE,
    "no refit": {"refit": False},
    "no second opinion": {"opinion": None},
    "nodes count alike": {"weights": alike},
    "neither": {"opinion": None, "weights": alike},
    "fixed 0.2, unscaled penalty": {"temperature": 0.2, "teacher": "unscaled", "shrinkage": one},
    "scale 1.0": {"temperature_scale": 1.0},
    "Adam": ADAM,
    "Adam, scalable": ADAM | SCALABLE,
    "step 0.03": {"learning_rate": 0.03},
    "step 0.01": {"learning_rate": 0.01},
    "temperature step 0.02": {"temperature_learning_rate": 0.02},
    "temperature step 0.1": {"temperature_learning_rate": 0.1},
    "width 256": {"hidden_dim": 256},
    "steady": {"network": Steady},
    "margin and disagreement": {"step": Reading, "network": Reader},
    "from heuristic": {"step": FromHeuristic},
    "long-sighted": {"step": LongSighted},
    "swapped": {"step": Swapped},
    "weights, no refit": {"step": Weighted, "refit": False},
    "averaged, no refit": {"step": Averaged, "refit": False},
    "consistent, no refit": {"step": Consistent, "refit": False},
    "cross-fitted": {"teacher": "cross-fitted"},
    "three teachers": {"teacher": "three"},
    "agreed 70 %, fixed 0.2": {"temperature": 0.2, "weights": agreed},
    "best regression, fixed 0.2": {"temperature": 0.2, "weights": best_regression},
    "oracle, fixed 0.2": {"temperature": 0.2, "weights": oracle},
    "LTD, 80 % of the labels": {},
}


def fit(variant, graph, y, role, backbone, split, teachers):
    options = (EVERY_EPOCH if variant != "LTD" else {}) | VARIANTS[variant]
    parts = {
        "_ltd.LearnedDistillation": options.pop("step", LearnedDistillation),
        "_ltd.TemperatureNetwork": options.pop("network", TemperatureNetwork),
        "_base.TensorAdam": options.pop("optimizer", TensorAdam),
        "_base.shrinkage": options.pop("shrinkage", shrinkage),
    }
    if "weights" in options:
        codes = np.unique(y, return_inverse=True)[1]
        parts["_adapt.reliability"] = partial(options.pop("weights"), codes, role)
    if "opinion" in options:
        opinion = options.pop("opinion")
        parts["_adapt.second_opinion"] = lambda *args: opinion
    teacher = teachers(options.pop("teacher", "plain"))
    clf = LTDNodeClassifier(teacher, backbone, random_state=1000 + split, **options)
    with contextlib.ExitStack() as stack:
        for name, part in parts.items():
            stack.enter_context(mock.patch(f"sklearn_ltd.{name}", part))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="the teacher is", category=UserWarning)
        return clf.fit(graph, y, role=role)


def many_labels(graph, y, backbone, split):
    """Accuracy on a fifth of the nodes of LTD that sees the labels of all others."""
    rng = np.random.RandomState(split)
    role = rng.permutation(np.resize(["train", "train", "temperature", "stop", ""], len(y)))
    clf = LTDNodeClassifier(backbone=backbone, random_state=split).fit(graph, y, role=role)
    return clf.score(graph[role == ""], y[role == ""])


class Teachers:
    """The teachers of one graph, backbone and split, fitted when they are asked for."""

    def __init__(self, *cell):
        self.cell = cell
        self.fitted = {}

    def __call__(self, name):
        if name not in self.fitted:
            graph, y, role, backbone, split = self.cell
            if name == "plain":
                clf = GNNNodeClassifier(backbone, random_state=split)
                self.fitted[name] = FrozenEstimator(clf.fit(graph, y, role=role))
            else:
                self.fitted[name] = TEACHERS[name](*self.cell)
        return self.fitted[name]


def run_all(args):
    """Run what the CSV file lacks."""
    cells = [(g, b, s) for s in args.splits for g in args.graphs for b in args.backbones]
    loaded = {name: load(args.data / f"{name}.npz") for name in args.graphs}
    with resumed(args.out, FIELDS, FIELDS[:4]) as (done, write):
        for cell in tqdm(cells, desc="graph x backbone x split"):
            todo = [v for v in args.variants if (*cell, v) not in done]
            name, backbone, split = cell
            graph, y = loaded[name]
            role = assign_roles(y, random_state=np.random.RandomState(split))
            test = role == ""
            teachers = Teachers(graph, y, role, backbone, split)
            for variant in todo:
                start = time.perf_counter()
                if variant == "teacher":
                    row = {"test_accuracy": 100 * teachers("plain").score(graph[test], y[test])}
                elif variant == "LTD, 80 % of the labels":
                    row = {"test_accuracy": 100 * many_labels(graph, y, backbone, split)}
                else:
                    clf = fit(variant, graph, y, role, backbone, split, teachers)
                    row = {
                        "test_accuracy": 100 * clf.score(graph[test], y[test]),
                        "stop_loss": clf.history_[clf.best_iter_ - 1]["stop_loss"],
                        "best_iter": clf.best_iter_,
                    }
                seconds = round(time.perf_counter() - start, 2)
                write(dict(zip(FIELDS, (*cell, variant))) | row | {"seconds": seconds})


def by_run(rows):
    """Accuracy of every variant (columns) in every run."""
    return rows.pivot_table(
        index=["graph", "backbone", "split"], columns="variant", values="test_accuracy"
    )


def plot(rows, variants, baseline, path):
    """The paired differences to the baseline, with their standard errors."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    scores = by_run(rows)
    names = [name for name in variants if name in scores and name != baseline][::-1]
    gains = [(scores[name] - scores[baseline]).dropna() for name in names]
    figure, ax = plt.subplots(figsize=(7, 0.24 * len(names) + 0.8), layout="constrained")
    ax.axvline(0, color="0.6", linewidth=1)
    ax.errorbar(
        [gain.mean() for gain in gains],
        np.arange(len(names)),
        xerr=[gain.sem() for gain in gains],
        fmt="o",
        markersize=4,
    )
    ax.set_yticks(np.arange(len(names)), names, fontsize="small")
    ax.set_xlabel(f"points of test accuracy more than {baseline!r}, with standard error")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=80)


def table(rows, variants, baseline):
    """A Markdown table: mean accuracy, and the paired difference to a baseline."""
    scores = by_run(rows)
    cells = scores.groupby(level=["graph", "backbone"])
    names = [f"{graph} {backbone}" for graph, backbone in cells.groups]
    lines = ["| " + " | ".join(["variant", *names, "all", f"to {baseline} (p)"]) + " |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for variant in variants:
        if variant not in scores:
            continue
        gain = (scores[variant] - scores[baseline]).dropna()
        p = ttest_rel(gain, np.zeros(len(gain))).pvalue
        means = cells[variant].mean()
        numbers = [f"{mean:.2f}" for mean in [*means, means.mean()]]
        difference = f"{gain.mean():+.2f} ± {gain.sem():.2f} ({p:.2g})"
        numbers.append("" if variant == baseline else difference)
        lines.append("| " + " | ".join([variant, *numbers]) + " |")
    return "\n".join(lines)


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the npz files")
    parser.add_argument("--graphs", nargs="+", default=["cora", "citeseer"])
    parser.add_argument("--backbones", nargs="+", default=["gcn"], choices=BACKBONES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--baseline", default="frozen", choices=list(VARIANTS))
    parser.add_argument("--splits", type=split_numbers, default="10-19")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/variants.csv"))
    parser.add_argument("--plot", type=Path)
    return parser.parse_args(argv)


def main():
    args = parse()
    torch.set_num_threads(1)
    run_all(args)
    rows = pd.read_csv(args.out)
    asked = {"split": args.splits, "graph": args.graphs, "backbone": args.backbones}
    for name, values in asked.items():
        rows = rows[rows[name].isin(values)]
    print(table(rows, args.variants, args.baseline))
    if args.plot:
        plot(rows, args.variants, args.baseline, args.plot)


if __name__ == "__main__":
    main()
