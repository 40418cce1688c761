"""What an epoch costs: exact LTD against plain distillation, PyG and the bare products.

Every epoch is a step of training and a forward pass without dropout for the early stopping.
The contenders of a cell take turns in one process, with an untimed run at the start of each turn;
times are medians of its CPU time with one thread, so that other processes matter little, or, with
`--device cuda` or more `--threads`, of real time, until the GPU has done its work.  Ratios are
medians, too, of those to the first contender's time in the same turn, as a machine is not always as
fast.

    FT          plain distillation with one fixed temperature
    LTD         learned temperatures as by default, the mean over an interval of epochs
    LTD every epoch     with the exact hypergradient in every epoch
    scalable    guessed temperatures
    published   LTD as the published code does it, without its n x n adjacency: PyG layers, dense
                features, double back-propagation with one `grad` per tensor
    GNN         supervised training, with the nodes on which labelled ones depend
    PyG         supervised training with torch_geometric.nn.models.GCN, edge_index and dense
                features
    products    the bare sparse products of the FT epoch of a GCN, if every pass does its own
    LTD products    those of its "LTD every epoch"
    FT launched, LTD launched   FT and LTD on a GPU, every kernel launched from Python

    python benchmarks/speed.py --data ../shared/data --graphs cora citeseer amazon_photo
    python benchmarks/speed.py --graphs 10000 100000 300000 --backbones gcn \\
        --contenders FT LTD "LTD every epoch" GNN products "LTD products"

CPU and GPU of one machine, into a file of their own:

    python benchmarks/speed.py --contenders FT LTD "FT launched" "LTD launched" --device cuda \\
        --out gpu.csv
    python benchmarks/speed.py --contenders FT LTD --threads 8 --out gpu.csv

A number stands for a generated graph of so many nodes, ten times as many edges, 100 dense features.
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from resumed import resumed

from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd._adam import TensorAdam
from sklearn_ltd._backbones import make_backbone
from sklearn_ltd._distill import (
    TEMPERATURE_FEATURES,
    LearnedDistillation,
    TemperatureNetwork,
    distillation_loss,
    heuristic_temperatures,
    judging_field,
    neighbor_entropy,
    soft_targets,
)
from sklearn_ltd._neighborhood import receptive_field
from sklearn_ltd._sparse import SparseMatrix
from sklearn_ltd._tensors import EdgeTensors, GraphTensors, store_weights_for
from sklearn_ltd._train import PlainStep
from sklearn_ltd.datasets import load_npz, make_attributed_sbm

# isort: split
# After the package, which asks for large memory pages: this makes the first tensor.
import torch_geometric.nn as pyg

BACKBONES = ["gcn", "gat", "sage", "appnp", "sgc"]
GRAPHS = ["cora", "citeseer", "amazon_photo", "amazon_computers"]
CONTENDERS = ["FT", "LTD", "LTD every epoch", "scalable", "published", "GNN"]
CONTENDERS += ["PyG", "products", "LTD products"]
GCN_ONLY = CONTENDERS[-3:]
GPU_ONLY = ["FT launched", "LTD launched"]
FIELDS = ["graph", "backbone", "device", "threads", "contender", "milliseconds", "ratio", "repeats"]
HIDDEN = 64
INTERVAL = LTDNodeClassifier().temperature_interval
N_EPOCHS = {"LTD": INTERVAL, "LTD launched": INTERVAL}  # in one call; 1 for the others


class Cell:
    """A graph, a backbone, random teacher logits, and labels on 40 nodes per class."""

    def __init__(self, graph, y, backbone, device="cpu"):
        torch.manual_seed(0)
        self.device = torch.device(device)
        self.whole = graph
        self.graph = GraphTensors(EdgeTensors(graph.adjacency, device), graph.X, kept=True)
        self.backbone = backbone
        self.n_features, self.n_classes = graph.X.shape[1], int(y.max()) + 1
        self.y = torch.tensor(y, device=device)
        self.teacher_logits = 3 * F.one_hot(self.y, self.n_classes).float()
        self.teacher_logits += torch.randn_like(self.teacher_logits)
        self.weights = torch.ones(len(y), device=device)
        known = torch.randperm(len(y), device=device)[: 40 * self.n_classes]
        self.nodes, self.held_out = known[::2], known[1::2]
        self.loss = partial(
            distillation_loss,
            train_nodes=self.nodes,
            train_y=self.y[self.nodes],
            label_weight=1.0,
        )

    def student(self):
        module = make_backbone(self.backbone, self.n_features, self.n_classes, HIDDEN, 2, 0.5)
        store_weights_for(self.whole.X, module.feature_weights())
        return module.to(self.device).train()

    def network(self):
        return TemperatureNetwork(self.n_classes, TEMPERATURE_FEATURES, 1.0).to(self.device)

    def evaluation_loss(self, logits):
        return F.cross_entropy(logits, self.y[self.held_out])

    def supervised(self):
        """Training of a teacher, which half of the labels stop."""
        module = self.student()
        nodes = torch.cat([self.nodes, self.held_out]).cpu().numpy()
        field = receptive_field(module, self.whole, nodes, self.device)
        rows = self.nodes if field is None else slice(len(self.nodes))
        return PlainStep(
            module,
            self.graph if field is None else field,
            lambda logits: F.cross_entropy(logits[rows], self.y[self.nodes]),
            optimizer_of(module),
        )

    def fixed(self, temperatures):
        module = self.student()
        loss = partial(self.loss, targets=soft_targets(self.teacher_logits, temperatures))
        return PlainStep(module, self.graph, loss, optimizer_of(module))

    def contender(self, name):
        """A callable that runs one epoch, or as many as `N_EPOCHS` says."""
        if name in GPU_ONLY:
            with mock.patch("sklearn_ltd._replay._can_record", return_value=False):
                return self.contender(name.removesuffix(" launched"))
        make = {
            "FT": lambda: self.fixed(torch.ones_like(self.weights)),
            "LTD": self.whole_interval,
            "LTD every epoch": lambda: self.learned(interval=1),
            "scalable": self.guessed,
            "published": self.published,
            "GNN": self.supervised,
            "PyG": self.pyg_gcn,
            "products": lambda: self.products(n_forward=2, n_backward=1),
            "LTD products": lambda: self.products(n_forward=3, n_backward=2),
        }
        return make[name]()

    def guessed(self):
        mean = self.graph.neighbor_mean
        return self.fixed(heuristic_temperatures(self.teacher_logits, mean, (1.0, 1.0, 1.0), 1.0))

    def whole_interval(self):
        """All epochs from one in which the temperatures learn to the next."""
        step = self.learned(INTERVAL)

        def epochs():
            for _ in range(INTERVAL):
                step()

        return epochs

    def learned(self, interval):
        module, network = self.student(), self.network()
        return LearnedDistillation(
            module,
            self.graph,
            self.teacher_logits,
            self.weights,
            self.loss,
            optimizer_of(module),
            network=network,
            temperature_optimizer=TensorAdam(network.parameters(), 0.001),
            held_out=self.held_out,
            evaluation_loss=self.evaluation_loss,
            field=judging_field(module, self.whole, self.held_out.cpu().numpy(), self.device),
            warmup_iter=0,
            interval=interval,
        )

    def published(self):
        """An epoch of LTD with one `grad` per tensor, by plain gradient steps."""
        model, network = pyg_model(self.backbone, self.n_features, self.n_classes), self.network()
        model.to(self.device)
        x, edges = self.graph.dense_x, self.graph.edges.edge_index
        entropy = neighbor_entropy(self.teacher_logits.softmax(1), self.graph.neighbor_mean)
        forward = partial(torch.func.functional_call, model, args=(x, edges))
        names = [name for name, _ in model.named_parameters()]

        def epoch():
            parameters = dict(model.named_parameters())
            logits = forward(parameters)
            targets = soft_targets(self.teacher_logits, network(logits, entropy))
            loss = self.loss(logits, targets)
            updated = {}
            for name in names:
                (gradient,) = torch.autograd.grad(loss, parameters[name], create_graph=True)
                updated[name] = parameters[name] - 0.01 * gradient
            evaluation = self.evaluation_loss(forward(updated)[self.held_out])
            omega = list(network.parameters())
            gradients = [torch.autograd.grad(evaluation, w, retain_graph=True)[0] for w in omega]
            with torch.no_grad():
                for w, gradient in zip(omega, gradients):
                    w -= 0.01 * gradient
                for name in names:
                    parameters[name].copy_(updated[name])
                model.eval()
                forward(dict(model.named_parameters()))
                model.train()

        return epoch

    def pyg_gcn(self):
        model = pyg.models.GCN(self.n_features, HIDDEN, 2, self.n_classes, dropout=0.5)
        model.to(self.device)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        x, edges = self.graph.dense_x, self.graph.edges.edge_index

        def epoch():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x, edges)[self.nodes], self.y[self.nodes])
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                model(x, edges)
            model.train()

        return epoch

    def products(self, n_forward, n_backward):
        """Both layers so many times each way; products with sparse features count as well.

        Passes share the first layer in fact, and dense features are multiplied once for all.
        LTD does three of the five forward: the last one is the directional derivative of the
        logits, which the second backward pass amounts to.
        """
        n, matrix = len(self.y), self.graph.edges.symmetric
        x, randn = self.graph.x, partial(torch.randn, device=self.device)
        wide, narrow = randn(n, HIDDEN), randn(n, self.n_classes)
        weights = randn(self.n_features, HIDDEN)

        def epoch():
            for _ in range(n_forward + n_backward):
                matrix.multiply(wide)
                matrix.multiply(narrow)
            if isinstance(x, SparseMatrix):
                for _ in range(n_forward):
                    x.multiply(weights)
                for _ in range(n_backward):
                    x.T.multiply(wide)

        return epoch


def optimizer_of(module):
    """As a fit has it by default, but for what takes no time."""
    return TensorAdam(module.parameters(), 0.02, weight_decay=0.02)


class _PygAPPNP(torch.nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = torch.nn.Linear(n_features, HIDDEN)
        self.second = torch.nn.Linear(HIDDEN, n_classes)
        self.propagate = pyg.APPNP(10, 0.1)

    def forward(self, x, edge_index):
        h = F.dropout(self.first(x).relu(), 0.5, self.training)
        return self.propagate(self.second(h), edge_index)


class _PygSGC(torch.nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = pyg.SGConv(n_features, n_classes, K=2)

    def forward(self, x, edge_index):
        return self.layer(F.dropout(x, 0.5, self.training), edge_index)


def pyg_model(backbone, n_features, n_classes):
    """The backbone of PyG's layers."""
    models = {
        "gcn": lambda: pyg.models.GCN(n_features, HIDDEN, 2, n_classes, dropout=0.5),
        "sage": lambda: pyg.models.GraphSAGE(n_features, HIDDEN, 2, n_classes, dropout=0.5),
        "gat": lambda: pyg.models.GAT(n_features, HIDDEN, 2, n_classes, dropout=0.5, heads=8),
        "appnp": lambda: _PygAPPNP(n_features, n_classes),
        "sgc": lambda: _PygSGC(n_features, n_classes),
    }
    return models[backbone]()


def measure(cell, names, repeats):
    """For every contender, milliseconds of an epoch and their ratio to those of the first one."""
    contenders = {name: cell.contender(name) for name in names}
    times = {name: [] for name in contenders}
    on_gpu = cell.device.type == "cuda"
    clock = time.perf_counter if on_gpu or torch.get_num_threads() > 1 else time.process_time

    def run(epoch):
        start = clock()
        epoch()
        if on_gpu:
            torch.cuda.synchronize()
        return 1000 * (clock() - start)

    for _ in range(repeats):
        for name, epoch in contenders.items():
            run(epoch)  # leaves in the caches what one epoch of training leaves for the next
            times[name].append(run(epoch) / N_EPOCHS.get(name, 1))
    first = times[names[0]]
    return {
        name: (statistics.median(own), statistics.median(a / b for a, b in zip(own, first)))
        for name, own in times.items()
    }


def load(name, data):
    if name.isdecimal():
        return make_attributed_sbm(
            n_nodes=int(name), n_classes=10, n_features=100, average_degree=20, random_state=0
        )
    return load_npz(data / f"{name}.npz")


def read(path):
    rows = pd.read_csv(path, dtype={"graph": str})
    if "ratio" not in rows:  # of an earlier version: those of the medians stand in
        first = rows.groupby(FIELDS[:4])["milliseconds"].transform("first")
        rows["ratio"] = rows["milliseconds"] / first
    return rows


def run_all(args):
    """Measure the cells that the CSV file lacks."""
    with resumed(args.out, FIELDS, FIELDS[:4], dtype={"graph": str}) as (done, write):
        for name in args.graphs:
            data = load(name, args.data)
            for backbone in args.backbones:
                if (name, backbone, args.device, args.threads) in done:
                    continue
                names = [who for who in args.contenders if backbone == "gcn" or who not in GCN_ONLY]
                cell = Cell(data.graph, data.y, backbone, args.device)
                medians = measure(cell, names, args.repeats)
                for who, (ms, ratio) in medians.items():
                    where = (args.device, args.threads)
                    row = (name, backbone, *where, who, round(ms, 3), round(ratio, 4), args.repeats)
                    write(dict(zip(FIELDS, row)))
                print(name, backbone, {who: round(ms, 1) for who, (ms, _) in medians.items()})


def table(rows):
    """A Markdown table of ratios, where FT was the first contender."""
    pivot = partial(rows.pivot, index=FIELDS[:4], columns="contender")
    milliseconds = pivot(values="milliseconds")
    ratio = pivot(values="ratio").reindex(columns=CONTENDERS)
    ratios = pd.DataFrame(
        {
            "FT (ms)": milliseconds["FT"].round(1),
            "LTD / FT": ratio["LTD"],
            "every epoch / FT": ratio["LTD every epoch"],
            "scalable / FT": ratio["scalable"],
            "GNN / FT": ratio["GNN"],
            "published / every epoch": ratio["published"] / ratio["LTD every epoch"],
            "PyG / GNN": ratio["PyG"] / ratio["GNN"],
            "FT / products": 1 / ratio["products"],
            "every epoch / products": ratio["LTD every epoch"] / ratio["LTD products"],
        }
    ).round(2)
    return markdown(ratios)


def gpu_table(rows):
    """A Markdown table: milliseconds on the CPU and on the GPU, side by side."""
    times = rows.pivot(index=FIELDS[:2], columns=["contender", "device"], values="milliseconds")
    names = pd.MultiIndex.from_product([CONTENDERS + GPU_ONLY, ["cpu", "cuda"]])
    times = times.reindex(columns=names)
    columns = {}
    for name in ("FT", "LTD"):
        cpu, gpu = times[name, "cpu"], times[name, "cuda"]
        columns |= {f"{name}, CPU (ms)": cpu, f"{name}, GPU (ms)": gpu}
        columns[f"{name}, CPU / GPU"] = cpu / gpu
        columns[f"{name}, launched / replayed"] = times[f"{name} launched", "cuda"] / gpu
    return markdown(pd.DataFrame(columns).round(2).dropna(axis=1, how="all"))


def markdown(frame):
    """A Markdown table of numbers; what is missing is left empty."""
    header = [*frame.index.names, *frame]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for names, values in frame.iterrows():
        cells = ["" if np.isnan(value) else f"{value:g}" for value in values]
        lines.append("| " + " | ".join([*map(str, names), *cells]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--graphs", nargs="+", default=GRAPHS)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, choices=BACKBONES)
    choices = CONTENDERS + GPU_ONLY
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=choices)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.csv"))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    run_all(args)
    rows = read(args.out)
    print(table(rows))
    if rows.device.nunique() > 1:
        print(gpu_table(rows))


if __name__ == "__main__":
    main()
