"""Ablations, and what the learned temperatures look like: the paper's second and third question.

The protocol is that of `paper_tables.py`: largest connected component, per class 20 nodes with
hard labels, 20 that judge the temperatures, 10 that stop, drawn by RandomState(split); all else is
tested once; the package's defaults, but for the teacher, which is imitated as it is, as in the
paper, and for larger steps of the temperatures (0.02) in every epoch.  The questions:

features      LTD with all inputs of the temperature network (the paper's V0), and without one of
              them (V1 to V3).
pairs         every teacher with every student; test accuracy of both.
labels        5 to 50 labels per class for the hard labels, and as many for the temperatures.
lambda        label_weight from 0.1 to 200.
temperatures  in the paper's range, at the test nodes: Pearson correlation of learned and initial
              temperatures; rank correlation, over the classes, of mean temperature and confusion;
              rank correlation of temperature and norm of the student's logits; odds ratio of a
              wrong teacher for negative against other temperatures.

Every quantity is a row of a CSV file; settings that are there are skipped, so that an interrupted
job goes on.  A Markdown section is printed at the end.  All of it, and each question by itself:

    python benchmarks/paper_questions.py --data ../shared/data --splits 0-9
    python benchmarks/paper_questions.py --data ../shared/data --questions features temperatures \
        --graphs cora citeseer --backbones gcn --splits 0-9
    python benchmarks/paper_questions.py --data ../shared/data --questions pairs \
        --graphs cora --backbones all --splits 0-4
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from paper_tables import BACKBONES, PUBLISHED, UNADAPTED, load, split_numbers
from resumed import resumed
from scipy.stats import pearsonr, spearmanr, ttest_1samp, ttest_rel
from scipy.stats.contingency import odds_ratio
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.model_selection import assign_roles

LIKE_THE_PAPER = UNADAPTED | {"temperature_interval": 1, "temperature_learning_rate": 0.02}
FEATURES = ("logits", "norm", "entropy")
# Setting: parameters of the student; "n" is the number of labels per class and role.
SETTINGS = {
    "features": {"all": {}}
    | {
        f"no {name}": {"temperature_features": [f for f in FEATURES if f != name]}
        for name in FEATURES
    },
    "pairs": {"default": {}},
    "labels": {
        f"{n} {name}": {"n": n, **options}
        for n in (5, 10, 20, 30, 50)
        for name, options in {"LTD": {}, "temperature 1": {"temperature": 1.0}}.items()
    },
    "lambda": {f"{weight:g}": {"label_weight": weight} for weight in (0.1, 1, 10, 50, 100, 200)},
    "temperatures": {"the paper's range": {"negative_temperatures": True, "refit": False}},
}
KEY = ["question", "graph", "teacher", "student", "setting", "split"]
FIELDS = [*KEY, "quantity", "value"]


class Split:
    """One graph with one draw of labels; teachers are trained once."""

    def __init__(self, graph, y, split):
        self.graph, self.y, self.split = graph, y, split
        self.teachers = {}

    def roles(self, n):
        return assign_roles(self.y, n, n, 10, random_state=np.random.RandomState(self.split))

    def teacher(self, backbone, n):
        if (backbone, n) not in self.teachers:
            clf = GNNNodeClassifier(backbone, random_state=self.split)
            self.teachers[backbone, n] = clf.fit(self.graph, self.y, role=self.roles(n))
        return self.teachers[backbone, n]

    def measure(self, question, teacher, student, options):
        """Fit one setting; return a dict of quantities."""
        options = dict(options)
        n = options.pop("n", 20)
        frozen = FrozenEstimator(self.teacher(teacher, n))
        options = LIKE_THE_PAPER | {"random_state": 1000 + self.split, **options}
        clf = LTDNodeClassifier(frozen, student, **options)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="the teacher is", category=UserWarning)
            clf.fit(self.graph, self.y, role=self.roles(n))
        test = self.roles(n) == ""
        wrong = clf.classes_[clf.teacher_proba_.argmax(1)] != self.y
        found = {
            "accuracy": 100 * clf.score(self.graph[test], self.y[test]),
            "teacher accuracy": 100 * (1 - wrong[test].mean()),
        }
        if question == "temperatures":
            found |= analyse(clf, self.graph[test], self.y[test], wrong[test])
        return found


def analyse(clf, graph, y, wrong):
    """What the temperatures of the selected nodes go along with."""
    tau, initial = clf.temperatures_[graph.nodes], clf.initial_temperatures_[graph.nodes]
    predicted = clf.classes_[clf.teacher_proba_[graph.nodes].argmax(1)]
    confusion = confusion_matrix(y, predicted, labels=clf.classes_)
    total = confusion.sum(0) + confusion.sum(1)
    # Of the nodes that are in the class or said to be in it, those where this is not both.
    confused = 1 - 2 * np.diag(confusion) / total
    means = [tau[y == c].mean() for c in clf.classes_]
    logits = clf._forward(graph)  # before the calibration
    negative = tau < 0
    return {
        "Pearson r, initial": pearsonr(tau, initial).statistic,
        "rank correlation, confusion of the class": spearmanr(means, confused).statistic,
        "rank correlation, norm": spearmanr(tau, np.linalg.norm(logits, axis=1)).statistic,
        "negative, wrong": (negative & wrong).sum(),
        "negative, right": (negative & ~wrong).sum(),
        "other, wrong": (~negative & wrong).sum(),
        "other, right": (~negative & ~wrong).sum(),
    }


def cells(args):
    """All (question, graph, teacher, student, setting, split) that are asked for."""
    for graph in args.graphs:
        for split in args.splits:
            for question in args.questions:
                for teacher in args.backbones:
                    students = args.backbones if question == "pairs" else [teacher]
                    for student in students:
                        for setting in SETTINGS[question]:
                            yield question, graph, teacher, student, setting, split


def run_all(args):
    """Run what the CSV file lacks."""
    graphs, current = {}, (None, None)
    with resumed(args.out, FIELDS, KEY, dtype={"setting": str}) as (done, write):
        todo = [cell for cell in cells(args) if cell not in done]
        for cell in tqdm(todo, desc="settings"):
            question, graph, teacher, student, setting, number = cell
            if graph not in graphs:
                graphs = {graph: load(args.data / f"{graph}.npz")}
            if current[0] != (graph, number):
                current = (graph, number), Split(*graphs[graph], number)
            found = current[1].measure(question, teacher, student, SETTINGS[question][setting])
            for name, value in found.items():
                write(dict(zip(FIELDS, (*cell, name, float(value)))))


def markdown(rows, args):
    """The section for the documentation."""
    rows = rows[rows.graph.isin(args.graphs) & rows.split.isin(args.splits)]
    parts = []
    for question in args.questions:
        of_question = rows[rows.question == question]
        for graph in args.graphs:
            part = of_question[of_question.graph == graph]
            if len(part):
                parts += [f"### {question}: {graph}", "", *TABLES[question](part), ""]
    return "\n".join(parts)


def mean_std(values):
    return f"{values.mean():.2f} ± {values.std(ddof=0):.2f}"


def lines_of(header, body):
    rule = "|---" * len(header) + "|"
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in body)]


def reference(question, setting):
    """What a setting is compared with."""
    if question == "labels":
        return f"{setting.split()[0]} temperature 1"
    return {"features": "all", "lambda": "1"}[question]


def settings_table(rows):
    """A row per setting, against its reference by a paired t-test."""
    question = rows.question.iloc[0]
    accuracy = rows[rows.quantity == "accuracy"]
    body = []
    for backbone, part in accuracy.groupby("student", sort=False):
        table = part.pivot(index="split", columns="setting", values="value").dropna()
        for name in [name for name in SETTINGS[question] if name in table]:
            other = reference(question, name)
            row = [backbone, name, str(len(table)), mean_std(table[name])]
            gain = table[name] - table[other]
            p = ttest_rel(table[name], table[other]).pvalue if len(gain) > 1 else np.nan
            same = name == other
            body.append(
                row + (["", ""] if same else [f"{gain.mean():+.2f} to {other}", f"{p:.2g}"])
            )
    header = ["backbone", "setting", "splits", "accuracy", "difference", "p"]
    return lines_of(header, body)


def pairs_table(rows):
    """Students in columns, teachers in rows."""
    accuracy = rows[rows.quantity == "accuracy"]
    students = list(accuracy.student.unique())
    body = []
    for teacher, part in rows.groupby("teacher", sort=False):
        own = part[part.quantity == "teacher accuracy"].drop_duplicates("split").value
        row = [f"{teacher}, {len(own)} splits", mean_std(own)]
        for student in students:
            of_pair = (part.student == student) & (part.quantity == "accuracy")
            row.append(mean_std(part[of_pair].value) if of_pair.any() else "")
        body.append(row)
    return lines_of(["teacher", "itself", *(f"student {s}" for s in students)], body)


def temperatures_table(rows):
    """What the paper says, what we measure, and whether that agrees."""
    body = []
    for backbone, part in rows.groupby("student", sort=False):
        table = part.pivot(index="split", columns="quantity", values="value")
        for name, claim in CLAIMS.items():
            measured = mean_std(table[name])
            body.append([backbone, name, claim or "", measured, verdict(table[name], claim)])
        kinds = ["negative, wrong", "negative, right", "other, wrong", "other, right"]
        counts = table[kinds].sum().astype(int).to_numpy().reshape(2, 2)
        result = odds_ratio(counts)
        low, high = result.confidence_interval()
        measured = f"{result.statistic:.2f}, 95 % interval {low:.2f} to {high:.2f}"
        agrees = "yes" if low > 1 else "contrary" if high < 1 else "undecided"
        name = f"odds ratio, {counts[0].sum()} of {counts.sum()} temperatures negative"
        body.append([backbone, name, "above 1", measured, agrees])
    note = "The odds ratio is of all splits together; a node counts in each of them."
    header = ["backbone", f"quantity, {rows.split.nunique()} splits", "paper", "measured", "agrees"]
    return [*lines_of(header, body), "", note]


CLAIMS = {
    "Pearson r, initial": None,
    "rank correlation, confusion of the class": "above 0",
    "rank correlation, norm": "below 0",
}


def verdict(values, claim):
    """Whether a mean differs from 0 in the claimed direction, by a t-test over the splits."""
    if claim is None:
        return ""
    if len(values.dropna()) < 3 or ttest_1samp(values.dropna(), 0).pvalue > 0.05:
        return "undecided"
    return "yes" if (values.mean() > 0) == (claim == "above 0") else "contrary"


TABLES = {
    "features": settings_table,
    "pairs": pairs_table,
    "labels": settings_table,
    "lambda": settings_table,
    "temperatures": temperatures_table,
}


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the npz files")
    parser.add_argument("--questions", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--graphs", nargs="+", default=["cora", "citeseer"], choices=[*PUBLISHED])
    parser.add_argument("--backbones", nargs="+", default=["gcn"], choices=["all", *BACKBONES])
    parser.add_argument("--splits", default="0-9", help="for example 0-9 or 0,3,5")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/paper_questions.csv"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    args.backbones = BACKBONES if "all" in args.backbones else args.backbones
    args.splits = split_numbers(args.splits)
    return args


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    run_all(args)
    print(markdown(pd.read_csv(args.out, dtype={"setting": str}), args))


if __name__ == "__main__":
    main()
