"""How time and memory grow with the graph, and what a large graph takes.

Generated graphs of average degree 20.  Every measurement is a process of its own with one thread.
Seconds are CPU time, an epoch of LTD is one of its teacher and one of the student; "graph" is
the resident memory before the fit, "fit" and "predict" are the peaks beyond it, in GiB.
Measurements that are in the CSV file are skipped; with `--repeats` the sizes take turns, and slopes
and plot are of medians.

    python benchmarks/scale.py --sizes 10000 30000 100000 --repeats 3 --plot docs/scale.png
    python benchmarks/scale.py --sizes 1000000 --epochs 30
    python benchmarks/scale.py --tasks mmap --sizes 10000000 --epochs 4 --folder /scratch/graph

The task "mmap" saves the graph to a folder in one process and trains from there in another.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from resumed import resumed

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

FIELDS = ["task", "n_nodes", "repeat", "n_edges", "epochs", "seconds_per_epoch", "fit_seconds"]
FIELDS += ["predict_seconds", "graph_gib", "fit_gib", "predict_gib", "accuracy"]
TASKS = ["GNN", "LTD", "LTD scalable", "batch gcn", "batch sage", "batch gat", "mmap"]
N_CLASSES = 20
BATCH = {"batch_size": 1024, "n_neighbors": 10}


def classifier(task, epochs):
    """The classifier of a task, which runs all epochs."""
    options = {"max_iter": epochs, "n_iter_no_change": epochs, "random_state": 0}
    if task == "GNN":
        return GNNNodeClassifier(**options)
    if task.startswith("LTD"):
        teacher = GNNNodeClassifier(**options)
        scalable = task == "LTD scalable"
        options |= {"warmup_iter": 0, "temperature_interval": 1}  # the most that it can cost
        return LTDNodeClassifier(teacher, scalable=scalable, **options)
    backbone = "sage" if task == "mmap" else task.split()[1]
    return GNNNodeClassifier(backbone, **BATCH, **options)


def memory(key):
    """VmRSS (now) or VmHWM (peak) of this process in GiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 2**20
    raise KeyError(key)


class Watch:
    """CPU seconds of a block, and its peak of memory beyond that at `start`."""

    def __init__(self, start):
        self.start = start

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self.began = time.process_time()
        return self

    def __exit__(self, *error):
        self.seconds = time.process_time() - self.began
        self.gib = memory("VmHWM") - self.start


def generate(n_nodes, n_features):
    return make_attributed_sbm(
        n_nodes=n_nodes,
        n_classes=N_CLASSES,
        n_features=n_features,
        average_degree=20,
        random_state=0,
    )


def measure(task, n_nodes, epochs, folder):
    """What a row of the CSV file tells of one fit."""
    torch.set_num_threads(1)
    if task == "mmap":
        graph, y = Graph.open(folder), np.load(folder.with_suffix(".y.npy"))
    else:
        data = generate(n_nodes, 100)
        graph, y = data.graph, data.y
    warm_up = make_attributed_sbm(n_nodes=100, random_state=0)
    classifier(task, 2).fit(warm_up.graph, warm_up.y)
    n_labeled = min(n_nodes // 10, 100_000 if "batch" in task or task == "mmap" else 2_000)
    start = memory("VmRSS")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Watch(start) as setup:  # makes what is kept with the graph
            classifier(task, 2).fit(graph[:n_labeled], y[:n_labeled])
        with Watch(start) as first:
            classifier(task, 2).fit(graph[:n_labeled], y[:n_labeled])
        with Watch(start) as fit:
            clf = classifier(task, 2 + epochs).fit(graph[:n_labeled], y[:n_labeled])
    before = memory("VmRSS")
    with Watch(before) as predict:
        accuracy = (clf.predict(graph)[n_labeled:] == y[n_labeled:]).mean()
    return {
        "n_edges": graph._whole.n_edges // 2,
        "epochs": epochs,
        "seconds_per_epoch": round((fit.seconds - first.seconds) / epochs, 4),
        "fit_seconds": round(fit.seconds, 2),
        "predict_seconds": round(predict.seconds, 2),
        "graph_gib": round(start, 3),
        "fit_gib": round(max(setup.gib, first.gib, fit.gib), 3),
        "predict_gib": round(predict.gib, 3),
        "accuracy": round(float(accuracy), 4),
    }


def save(n_nodes, folder):
    """Save a graph that is made piece by piece: neighbours at ten random distances both ways.

    Nodes alternate between the classes, and eight of the distances stay within a class.
    """
    rng = np.random.RandomState(0)
    n_nodes -= n_nodes % N_CLASSES
    distances = rng.choice(np.arange(1, n_nodes // 2 // N_CLASSES), 10, replace=False) * N_CLASSES
    distances[:2] += 1
    distances = np.concatenate([distances, -distances])
    y = np.arange(n_nodes) % N_CLASSES
    centers = rng.standard_normal((N_CLASSES, 32))
    indices = np.empty((n_nodes, len(distances)), np.int32)
    X = np.empty((n_nodes, 32), np.float32)
    for nodes in np.array_split(np.arange(n_nodes), 1 + n_nodes // 100_000):
        indices[nodes] = np.sort((nodes[:, None] + distances) % n_nodes, axis=1)
        X[nodes] = centers[y[nodes]] + 4 * rng.standard_normal((len(nodes), 32))
    indptr = np.arange(0, indices.size + 1, len(distances))
    ones = np.ones(indices.size, np.float32)
    Graph(sp.csr_array((ones, indices.ravel(), indptr), shape=(n_nodes, n_nodes)), X).save(folder)
    np.save(folder.with_suffix(".y.npy"), y)


def in_a_process(*args):
    command = [sys.executable, __file__, "--child", *map(str, args)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run_all(args):
    """Measure what the CSV file lacks."""
    with resumed(args.out, FIELDS, FIELDS[:3]) as (done, write):
        turns = itertools.product(range(args.repeats), args.tasks, args.sizes)
        for repeat, task, n_nodes in turns:
            key = task, n_nodes, repeat
            if key in done:
                continue
            if task == "mmap" and not (args.folder / "graph.json").exists():
                in_a_process("save", n_nodes, 0, args.folder)
            measured = json.loads(in_a_process(task, n_nodes, args.epochs, args.folder))
            row = dict(zip(FIELDS, key)) | measured
            print(row, flush=True)
            write(row)


def medians(rows):
    """One row for every task and size."""
    return rows.drop(columns="repeat").groupby(FIELDS[:2], as_index=False).median()


def slopes(rows):
    """Slopes in log-log of every task with three sizes or more."""
    result = {}
    for task, cell in rows.groupby("task"):
        if cell.n_nodes.nunique() >= 3:
            size = np.log(cell.n_nodes)
            result[task] = {
                name: round(np.polyfit(size, np.log(cell[name]), 1)[0], 2)
                for name in ("seconds_per_epoch", "fit_gib")
            }
    return result


def plot(rows, path):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    titles = {
        "seconds_per_epoch": "CPU seconds per epoch",
        "fit_gib": "GiB of a fit",
    }
    for axis, (name, title) in zip(axes, titles.items()):
        for task, cell in rows[rows.task != "mmap"].groupby("task"):
            axis.loglog(
                *cell.sort_values("n_nodes")[["n_nodes", name]].to_numpy().T, "o-", label=task
            )
        axis.set(xlabel="nodes", title=title)
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=80)


def main():
    if sys.argv[1:2] == ["--child"]:
        task, n_nodes, epochs, folder = sys.argv[2:]
        if task == "save":
            save(int(n_nodes), Path(folder))
        else:
            print(json.dumps(measure(task, int(n_nodes), int(epochs), Path(folder))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 30_000, 100_000])
    parser.add_argument("--tasks", nargs="+", default=TASKS[:-1], choices=TASKS)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("scale_graph"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.csv"))
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    run_all(args)
    rows = medians(pd.read_csv(args.out))
    print(rows.to_string(index=False))
    print("log-log slopes:", slopes(rows))
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
