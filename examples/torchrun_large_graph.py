"""
One large graph on several processes
====================================

Every process maps the same graph from disk and trains on its share of each mini-batch; the
gradients are averaged, so that all of them end with the same model::

    torchrun --nproc-per-node 2 examples/torchrun_large_graph.py --folder graph

The same script run by ``python`` trains in one process.  It resumes from its checkpoint when it
is started again after an interruption.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from sklearn_ltd import Graph, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
parser.add_argument(
    "--folder", type=Path, required=True, help="where graph and checkpoint are kept"
)
parser.add_argument("--n-nodes", type=int, default=5_000, help="of the generated graph")
parser.add_argument("--max-iter", type=int, default=3, help="epochs of teacher and student")
options = parser.parse_args()

rank = 0
if "RANK" in os.environ:  # set by torchrun
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    rank = dist.get_rank()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

# One process writes the graph, all of them open it.
labels = options.folder / "y.npy"
if rank == 0 and not labels.exists():
    data = make_attributed_sbm(n_nodes=options.n_nodes, random_state=0)
    data.graph.save(options.folder / "graph")
    np.save(labels, data.y)
if dist.is_initialized():
    dist.barrier()
graph, y = Graph.open(options.folder / "graph"), np.load(labels)

known = np.arange(len(y)) % 2 == 0
clf = LTDNodeClassifier(
    "sage",
    "sage",
    scalable=True,
    batch_size=512,
    max_iter=options.max_iter,
    checkpoint_dir=options.folder / "checkpoint",
    random_state=0,  # all processes have to draw the same
)
start = time.perf_counter()
clf.fit(graph[known], y[known])
if rank == 0:
    seconds = time.perf_counter() - start
    accuracy = clf.score(graph[~known], y[~known])
    print(f"{clf.n_iter_} epochs of the student, {seconds:.1f} s with its teacher: {accuracy:.3f}")
if dist.is_initialized():
    dist.destroy_process_group()
