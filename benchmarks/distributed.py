"""What a large memory-mapped graph costs: disk, memory, and seconds per epoch by processes.

    python benchmarks/distributed.py
    torchrun --nproc-per-node 2 benchmarks/distributed.py

The graph is random, a 500th of ogbn-papers100M in size by default: nodes,
edges, 128 features, 172 classes, 1.4 % of the nodes labelled.
"""

import argparse
import os
import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist

from sklearn_ltd import GNNNodeClassifier, Graph
from sklearn_ltd._neighborhood import LargeGraph
from sklearn_ltd._sampling import SampledStep

N_FEATURES, N_CLASSES = 128, 172


@contextmanager
def timed(what, per=1, unit="s"):
    start = clocks()
    yield
    wall, cpu = (clocks() - start) / per
    say(f"{what:42} {wall:9.4g} {unit}, {cpu:.4g} of CPU")


def clocks():
    """Seconds on the clock and of CPU."""
    return np.array([time.perf_counter(), time.process_time()])


def say(text):
    if not dist.is_initialized() or dist.get_rank() == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{text:80} peak {peak:6.2f} GiB", flush=True)


def write(folder, n_nodes, n_edges):
    rng = np.random.default_rng(0)
    ends = rng.integers(n_nodes, size=(2, n_edges), dtype=np.int32)
    weights = np.ones(n_edges, dtype=np.float32)
    X = rng.standard_normal((n_nodes, N_FEATURES), dtype=np.float32)
    say("arrays made")
    with timed("Graph from arrays"):
        graph = Graph(sp.csr_array((weights, ends), shape=(n_nodes, n_nodes)), X)
    with timed("save"):
        graph.save(folder)
    total = sum(path.stat().st_size for path in folder.rglob("*.npy"))
    edges = (total - X.nbytes) / graph.adjacency.nnz
    say(f"{'on disk':42} {edges:9.4g} bytes per edge, {X.nbytes / n_nodes:.4g} per node")


def time_epochs():
    """A list to which every epoch of training will add its seconds, on the clock and of CPU."""
    epochs, run = [], SampledStep.__call__

    def watched(step):
        start = clocks()
        result = run(step)
        epochs.append(clocks() - start)
        return result

    SampledStep.__call__ = watched
    return epochs


def measure(folder):
    graph = Graph.open(folder)
    n_nodes = graph.n_nodes
    rng = np.random.RandomState(0)
    known = rng.permutation(n_nodes)[: int(0.014 * n_nodes)]
    y = rng.randint(N_CLASSES, size=len(known))
    large = LargeGraph(graph)
    with timed("averages over all neighbours"):
        large.averaged("mean")
    with timed("sample for 1024 labels", per=20):
        for _ in range(20):
            sample = large.sample(rng.permutation(n_nodes)[:1024], 2, 10, rng, "mean")
    say(f"{'nodes in it':42} {sample.n_nodes:9}")
    epochs = time_epochs()
    clf = GNNNodeClassifier("sage", max_iter=3, batch_size=1024, random_state=0, device="cpu")
    with timed("fit, 3 epochs and the labels of all nodes"):
        clf.fit(graph[known], y)
    wall, cpu = np.median(epochs, axis=0)
    say(f"{f'epoch of {len(known)} labels':42} {wall:9.4g} s, {cpu:.4g} of CPU")
    with timed("predict all nodes", per=n_nodes / 1e6, unit="s/million nodes"):
        clf.predict(graph)
    if dist.is_initialized():
        gradient = torch.zeros(sum(array.size for array in clf.state_.values()))
        with timed(f"average {gradient.numel()} gradients", per=20):
            for _ in range(20):
                dist.all_reduce(gradient)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "papers")
    parser.add_argument("--n-nodes", type=int, default=222_000)
    parser.add_argument("--n-edges", type=int, default=3_232_000)
    options = parser.parse_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    if not options.folder.exists():
        write(options.folder, options.n_nodes, options.n_edges)
    measure(options.folder)
    if dist.is_initialized():
        dist.destroy_process_group()
