"""What test_distributed.py runs under torchrun: fits on a mapped graph, saves the results."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier, _checkpoint

SETTINGS = {"hidden_dim": 16, "max_iter": 6, "batch_size": 32, "device": "cpu"}


class Dies:
    """A callback by which the process dies at the end of the third epoch."""

    def __init__(self):
        self.n_left = 3

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.n_left -= context.task_name == "epoch"
        if self.n_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def make(checkpoint_dir=None):
    teacher = GNNNodeClassifier("sage", **SETTINGS)
    return LTDNodeClassifier(
        teacher, "sage", scalable=True, random_state=0, checkpoint_dir=checkpoint_dir, **SETTINGS
    )


def fit(clf, folder):
    """Fit on every second node; return what the ranks have to agree on."""
    graph, y = Graph.open(folder / "graph"), np.load(folder / "y.npy")
    clf.fit(graph[::2], y[::2])
    state = {name: array.tolist() for name, array in clf.state_.items()}
    return {"state": state, "history": clf.history_, "score": clf.score(graph[1::2], y[1::2])}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    clf = make(folder / "checkpoint")
    if sys.argv[2] == "dies":
        _checkpoint.SECONDS_BETWEEN = 0
        if dist.get_rank() == 1:
            clf.set_callbacks(Dies())
    results = {"resumed": fit(clf, folder), "plain": fit(make(), folder)}
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(results))
    dist.destroy_process_group()
