"""Test accuracy of teacher, fixed temperature, LTD and the scalable variant, as in the paper.

The paper's protocol: largest connected component, 20 nodes per class with hard labels, 20 to
learn the temperatures, 10 to stop, drawn by numpy's RandomState(split); the rest is tested
once.  All methods run with the package's defaults and distil the same teacher.  FT is the
best of several fixed temperatures by loss on the stop nodes; "plain FT" and "LTD not adapted"
imitate the teacher as it is, all others adapt it (`adapt_teacher`).  "LTD frozen" has a temperature
network that stays at its random start; "LTD as published" is that of `published_ltd.py`, with the
parameters that its authors tuned for the cell and a teacher of its own.  Every run is a row of a
CSV file; runs that are there are skipped, so that an interrupted job goes on.

    python benchmarks/paper_tables.py --data ../shared/data --graphs cora citeseer \
        --backbones all --splits 0-9
    python benchmarks/paper_tables.py --report      # fits nothing, prints all that is there
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from published_ltd import PublishedLTD
from resumed import resumed
from scipy.sparse.csgraph import connected_components
from scipy.stats import ttest_1samp, ttest_rel
from sklearn.frozen import FrozenEstimator
from tqdm import tqdm

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import load_npz
from sklearn_ltd.model_selection import assign_roles

BACKBONES = ["gcn", "gat", "sage", "appnp", "sgc"]
FIXED = [0.1, 0.5, 2.0]
UNADAPTED = {"adapt_teacher": False, "temperature_scale": 1.0}
PUBLISHED_LTD = "LTD as published"
METHODS = {
    "teacher": None,
    **{f"FT {tau}": {"temperature": tau} for tau in FIXED},
    **{f"plain FT {tau}": {"temperature": tau, "adapt_teacher": False} for tau in FIXED},
    "LTD": {},
    "LTD frozen": {"temperature_learning_rate": 0.0},
    "LTD scalable": {"scalable": True},
    "LTD not adapted": UNADAPTED,
    PUBLISHED_LTD: None,
}
COLUMNS = ["teacher", "plain FT", "FT", *(name for name in METHODS if name.startswith("LTD"))]
FRAMEWORKS = ["GraphAKD", "FreeKD", "CPF", "RDD", "LTD"]
PUBLISHED = {  # their test accuracy on one split, in the paper's appendix
    "cora": {
        "gcn": (85.15, 84.87, 85.85, 85.43, 87.21),
        "gat": (84.78, 84.03, 86.28, 84.64, 86.56),
        "sage": (82.76, 85.06, 86.74, 85.67, 87.03),
        "appnp": (85.43, 86.56, 86.89, 86.42, 86.93),
        "sgc": (84.68, 83.09, 86.70, 85.62, 86.60),
    },
    "citeseer": {
        "gcn": (73.20, 73.76, 75.52, 74.31, 78.51),
        "gat": (73.54, 73.70, 76.57, 74.81, 77.35),
        "sage": (70.50, 75.36, 75.86, 74.70, 77.46),
        "appnp": (75.19, 75.03, 76.96, 75.80, 78.51),
        "sgc": (75.47, 73.92, 77.13, 73.15, 78.73),
    },
    "amazon_computers": {
        "gcn": (85.40, 80.87, 86.44, 82.51, 86.45),
        "gat": (82.76, 82.75, 80.63, 80.06, 83.04),
        "sage": (78.78, 79.96, 78.84, 79.86, 81.44),
        "appnp": (80.81, 80.87, 81.72, 81.12, 83.63),
        "sgc": (78.53, 83.67, 80.23, 80.84, 85.28),
    },
    "amazon_photo": {
        "gcn": (93.04, 90.21, 93.52, 88.39, 93.24),
        "gat": (92.51, 91.11, 92.00, 91.12, 93.16),
        "sage": (89.46, 86.26, 87.41, 80.84, 93.06),
        "appnp": (92.32, 92.46, 93.37, 92.55, 93.37),
        "sgc": (91.45, 92.21, 93.24, 91.55, 92.97),
    },
}
FIELDS = ["graph", "backbone", "split", "method", "test_accuracy", "stop_accuracy", "stop_loss"]
FIELDS += ["last_stop_accuracy", "n_iter", "seconds"]


def largest_component(adjacency):
    """Positions of its nodes."""
    _, component = connected_components(adjacency, directed=False)
    return np.flatnonzero(component == np.bincount(component).argmax())


def load(path):
    """The largest connected component of a graph, and its labels."""
    data = load_npz(path)
    nodes = largest_component(data.graph.adjacency)
    return data.graph[nodes].induced(), data.y[nodes]


def fit(method, name, graph, y, role, backbone, split, teacher):
    """One method on the graph of that name."""
    if method == "teacher":
        return GNNNodeClassifier(backbone, random_state=split).fit(graph, y, role=role)
    seed = 1000 + split  # another than the teacher's: the student must not start where it did
    if method == PUBLISHED_LTD:
        return PublishedLTD(name, backbone, seed).fit(graph, y, role)
    clf = LTDNodeClassifier(
        FrozenEstimator(teacher), backbone, **{"random_state": seed} | METHODS[method]
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the teacher is", category=UserWarning)
        return clf.fit(graph, y, role=role)


def run(method, name, graph, y, role, backbone, split, teacher):
    """Fit one method; return the classifier and its row."""
    start = time.perf_counter()
    clf = fit(method, name, graph, y, role, backbone, split, teacher)
    seconds = time.perf_counter() - start
    best = clf.history_[clf.best_iter_ - 1]
    test = role == ""
    return clf, {
        "test_accuracy": 100 * clf.score(graph[test], y[test]),
        "stop_accuracy": 100 * best["stop_accuracy"],
        "stop_loss": best["stop_loss"],
        "last_stop_accuracy": 100 * clf.history_[-1]["stop_accuracy"],
        "n_iter": clf.n_iter_,
        "seconds": round(seconds, 2),
    }


def run_all(args):
    """Run what the CSV file lacks, split by split."""
    cells = [(g, b, s) for s in args.splits for g in args.graphs for b in args.backbones]
    loaded = {name: load(args.data / f"{name}.npz") for name in args.graphs}
    with resumed(args.out, FIELDS, FIELDS[:4]) as (done, write):
        for cell in tqdm(cells, desc="graph x backbone x split"):
            todo = [m for m in args.methods if (*cell, m) not in done]
            if not todo:
                continue
            name, backbone, split = cell
            graph, y = loaded[name]
            role = assign_roles(y, random_state=np.random.RandomState(split))
            teacher, row = run("teacher", name, graph, y, role, backbone, split, None)
            for method in todo:
                if method != "teacher":
                    _, row = run(method, name, graph, y, role, backbone, split, teacher)
                write(dict(zip(FIELDS, (*cell, method))) | row)


def choose_fixed(rows):
    """For each run of FT the fixed temperature that is best on the stop nodes."""
    families = rows.method.str.replace(r" \d.*", "", regex=True)
    ranked = rows.assign(method=families).sort_values("stop_loss")
    return ranked.drop_duplicates(FIELDS[:4])


def table(rows, graphs, backbones, methods=COLUMNS):
    """A Markdown table: mean +- standard deviation over the splits."""
    rows = choose_fixed(rows)
    baselines = ["teacher", "FT", "LTD frozen"]
    published = ["published"] if set(graphs) <= set(PUBLISHED) else []
    gains = [f"LTD - {name} (p)" for name in baselines]
    header = ["graph", "backbone", "splits", *methods, *gains, *published]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for graph in graphs:
        for backbone in backbones:
            cell = rows[(rows.graph == graph) & (rows.backbone == backbone)]
            scores = cell.pivot(index="split", columns="method", values="test_accuracy")
            scores = scores.reindex(columns=methods)
            scores = scores.dropna(subset=["LTD", *baselines])
            if len(scores) < 2:
                continue
            numbers = [_mean_and_std(scores[method]) for method in methods]
            for baseline in baselines:
                gain = (scores["LTD"] - scores[baseline]).mean()
                p = ttest_rel(scores["LTD"], scores[baseline]).pvalue
                numbers.append(f"{gain:+.2f} ({p:.2g})")
            if published:
                numbers.append(f"{PUBLISHED[graph][backbone][-1]:.2f}")
            row = [graph, backbone, str(len(scores)), *numbers]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def summary(rows):
    """A Markdown table: LTD against each of the others, over all runs that have both.

    The better of two is the better one on the test nodes of each run, which favours it.
    """
    scores = choose_fixed(rows).pivot(index=FIELDS[:3], columns="method", values="test_accuracy")
    for name in ("plain FT", "FT"):
        if {"teacher", name} <= set(scores):
            both = scores[["teacher", name]]
            scores[f"better of teacher and {name}"] = both.max(axis=1, skipna=False)
    header = ["LTD minus", "runs", "points ± s.e.", "relative", "cells with p < 0.01"]
    header += ["runs more than half a point below"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name in scores.columns.drop("LTD"):
        pair = scores[["LTD", name]].dropna()
        gain = pair["LTD"] - pair[name]
        cells = [cell for _, cell in gain.groupby(level=FIELDS[:2]) if len(cell) > 2]
        better = sum(cell.mean() > 0 and ttest_1samp(cell, 0).pvalue < 0.01 for cell in cells)
        row = [name, len(gain), f"{gain.mean():+.2f} ± {clustered_error(gain):.2f}"]
        row += [f"{100 * (gain / pair[name]).mean():+.2f} %", f"{better} of {len(cells)}"]
        row += [f"{100 * (gain < -0.5).mean():.0f} %"]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def clustered_error(gain):
    """The standard error of the mean; what backbones gain on one split depends on its labels."""
    sums = (gain - gain.mean()).groupby(level=["graph", "split"]).sum()
    return np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / len(gain)


def stability(rows):
    """A Markdown table: how far the last epoch is below the best one on the stop nodes."""
    header = ["last against best epoch", "runs", "points", "at most", "runs with more than 3"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name in ("LTD", PUBLISHED_LTD):
        own = rows[rows.method == name]
        if own.empty:
            continue
        loss = own.stop_accuracy - own.last_stop_accuracy
        row = [name, len(own), f"{loss.mean():.1f}", f"{loss.max():.1f}"]
        row += [f"{100 * (loss > 3).mean():.0f} %"]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def cost(rows):
    """A line: what LTD and its teacher take together, in fits of the teacher."""
    seconds = rows.pivot(index=FIELDS[:3], columns="method", values="seconds")
    fits = 1 + (seconds["LTD"] / seconds["teacher"]).groupby(level=FIELDS[:2]).median()
    return f"A fit of LTD takes as long as {fits.min():.1f} to {fits.max():.1f} of its teacher."


def changes(rows, earlier):
    """Lines: by how much the accuracies differ from those of the same runs in another file."""
    both = rows.merge(earlier, on=FIELDS[:4], suffixes=("", "_earlier")).set_index(FIELDS[:4])
    lines = []
    for name, own in both.groupby(level="method"):
        gain = own.test_accuracy - own.test_accuracy_earlier
        lines.append(f"{name}: {gain.mean():+.2f} ± {clustered_error(gain):.2f}, {len(gain)} runs")
    return "\n".join(lines)


def _mean_and_std(scores):
    return "" if scores.isna().any() else f"{scores.mean():.2f} ± {scores.std():.2f}"


def published_table(rows, graphs, backbones):
    """A Markdown table: the published figures of other frameworks next to LTD here.

    They are of one split, drawn from the same seed as our split 0.
    """
    here = ["LTD", PUBLISHED_LTD]
    header = ["graph", "backbone", "LTD here", *(f"{name}, split 0" for name in here)]
    header += [f"{name}, published" for name in FRAMEWORKS]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    means = rows[rows.method == "LTD"].groupby(FIELDS[:2]).test_accuracy.mean()
    first = rows[rows.split == 0].set_index([*FIELDS[:2], "method"]).test_accuracy
    for graph in graphs:
        for backbone in backbones:
            cell = (graph, backbone)
            if cell in means.index:
                split_0 = [first.get((*cell, name), np.nan) for name in here]
                numbers = [means[cell], *split_0, *PUBLISHED[graph][backbone]]
                row = [graph, backbone, *(f"{number:.2f}" for number in numbers)]
                lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def split_numbers(text):
    """The numbers meant by "0-9" or "0,3,5"."""
    if "-" in text:
        first, last = map(int, text.split("-"))
        return list(range(first, last + 1))
    return [int(number) for number in text.split(",")]


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder with the npz files")
    what.add_argument("--report", action="store_true", help="fit nothing, print what is there")
    parser.add_argument("--graphs", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--backbones", nargs="+", default=["all"], choices=["all", *BACKBONES])
    parser.add_argument("--splits", default="0-9", help="for example 0-9 or 0,3,5")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/paper_tables.csv"))
    parser.add_argument("--against", type=Path, help="print the changes from the runs of this file")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    if "all" in args.backbones:
        args.backbones = BACKBONES
    args.splits = split_numbers(args.splits)
    return args


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    if not args.report:
        run_all(args)
    rows = pd.read_csv(args.out)
    asked = {"split": args.splits, "graph": args.graphs, "backbone": args.backbones}
    for field, values in asked.items():
        rows = rows[rows[field].isin(values)]
    print(table(rows, args.graphs, args.backbones), "\n")
    print(published_table(rows, args.graphs, args.backbones), "\n")
    if "LTD" in set(rows.method):
        print(summary(rows), "\n")
        print(stability(rows), "\n")
        print(cost(rows))
    if args.against:
        print(changes(rows, pd.read_csv(args.against)))


if __name__ == "__main__":
    main()
