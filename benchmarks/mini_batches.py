"""What mini-batches cost in accuracy: the same classifiers with `batch_size` and without.

`LTDNodeClassifier(scalable=True)` and its teacher, 50 labels per class drawn at random, batches of
128; everything else is the package's default, which was not chosen on these splits.  With ten
neighbours, the default, networks that start from averages of the features leave next to nothing out
of these graphs, with three they sample nine neighbours of each label.  GAT and networks on sparse
features sample at both layers.

noisy           a stochastic block model, hardly homophilous, 22 neighbours each, with eight classes
                of 4 to 29 %, whose features say something of a class only when they are averaged
noisy, sparse   the same with words in place of numbers: a feature counts where it is large
amazon_photo    31 neighbours each

Runs that are in the CSV file are skipped, so that an interrupted job goes on.

    python benchmarks/mini_batches.py --data ../shared/data
    python benchmarks/mini_batches.py --report      # fits nothing, prints all that is there
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from paper_tables import split_numbers
from resumed import resumed
from scipy.stats import ttest_rel
from sklearn.metrics import f1_score
from tqdm import tqdm

from sklearn_ltd import Graph, LTDNodeClassifier
from sklearn_ltd.datasets import load_npz, make_attributed_sbm

KEY = ["graph", "backbone", "split", "training"]
FIELDS = [*KEY, "method", "test_accuracy", "macro_f1"]
TRAINING = {
    "whole graph": {},
    "ten neighbours": {"batch_size": 128},
    "three neighbours": {"batch_size": 128, "n_neighbors": 3},
}
CELLS = [
    ("noisy", "gcn"),
    ("noisy", "sage"),
    ("noisy", "sgc"),
    ("noisy, sparse", "gcn"),
    ("amazon_photo", "gcn"),
    ("noisy", "gat"),
]
KEPT = [1, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15]  # of the nodes of each class


def noisy(split, sparse):
    """A new graph for every split."""
    data = make_attributed_sbm(
        20_000,
        n_classes=len(KEPT),
        n_features=60,
        average_degree=46,
        homophily=0.4,
        feature_noise=6,
        random_state=split,
    )
    kept = np.flatnonzero(
        np.random.RandomState(split).random_sample(20_000) < np.take(KEPT, data.y)
    )
    adjacency, X = data.graph.adjacency[kept][:, kept], data.graph.X[kept]
    return Graph(adjacency, sp.csr_array(X > 1) if sparse else X), data.y[kept]


def load(graph, split, folder):
    if graph.startswith("noisy"):
        return noisy(split, sparse="sparse" in graph)
    data = load_npz(folder / f"{graph}.npz")
    return data.graph, data.y


def labeled_nodes(y, split):
    rng = np.random.RandomState(split)
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:50] for c in np.unique(y)])


def run(graph, y, backbone, split, training):
    """Scores of the student and of its teacher on the nodes without a label."""
    known = labeled_nodes(y, split)
    test = np.setdiff1d(np.arange(len(y)), known)
    clf = LTDNodeClassifier(
        backbone=backbone, scalable=True, random_state=split, **TRAINING[training]
    )
    clf.fit(graph[known], y[known])
    for method, fitted in (("teacher", clf.teacher_), ("LTD scalable", clf)):
        predicted = fitted.transduction_[test]
        accuracy = 100 * (predicted == y[test]).mean()
        f1 = 100 * f1_score(y[test], predicted, average="macro")
        yield {"method": method, "test_accuracy": round(accuracy, 3), "macro_f1": round(f1, 3)}


def run_all(args):
    cells = [cell for cell in CELLS if cell[0] in args.graphs and cell[1] in args.backbones]
    runs = [(*cell, split) for split in args.splits for cell in cells]
    with resumed(args.out, FIELDS, KEY) as (done, write):
        for name, backbone, split in tqdm(runs):
            missing = [t for t in TRAINING if (name, backbone, split, t) not in done]
            if missing:
                graph, y = load(name, split, args.data)
            for training in missing:
                key = dict(zip(KEY, (name, backbone, split, training)))
                for scores in run(graph, y, backbone, split, training):
                    write(key | scores)


def table(rows, measure):
    """A Markdown table: mean and standard deviation, and what batches change, run by run."""
    scores = rows.pivot_table(index=["graph", "backbone", "method", "split"], columns="training")
    whole, *batches = TRAINING
    header = ["graph", "backbone", "method", "splits", whole, *batches]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for names, cell in scores[measure].dropna().groupby(level=[0, 1, 2], sort=False):
        numbers = [f"{cell[whole].mean():.2f} ± {cell[whole].std():.2f}"]
        for training in batches:
            gain = cell[training] - cell[whole]
            p = ttest_rel(cell[training], cell[whole]).pvalue
            numbers.append(f"{gain.mean():+.2f} ± {gain.sem():.2f} ({p:.2g})")
        lines.append("| " + " | ".join([*names, str(len(cell)), *numbers]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder with the npz files")
    what.add_argument("--report", action="store_true", help="print what the CSV file has")
    graphs, backbones = (list(dict.fromkeys(names)) for names in zip(*CELLS))
    parser.add_argument("--graphs", nargs="+", default=graphs, choices=graphs)
    parser.add_argument("--backbones", nargs="+", default=backbones, choices=backbones)
    parser.add_argument("--splits", type=split_numbers, default="20-29")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mini_batches.csv"))
    args = parser.parse_args()
    if not args.report:
        torch.set_num_threads(1)
        run_all(args)
    rows = pd.read_csv(args.out)
    for title, measure in (("accuracy", "test_accuracy"), ("macro F1", "macro_f1")):
        print(f"\n{title}\n\n{table(rows, measure)}")


if __name__ == "__main__":
    main()
