"""LTD as it was published, with the parameters that its authors tuned for every cell.

Plain gradient steps on sums over the nodes; temperatures in (-0.2 k, 0.8 k), from inputs that are
not standardised, learned in every epoch after the twentieth; the epoch with the best accuracy on
the stop nodes is kept, the latest among equals; no adapted teacher, no last fit.

What is not known or not there is as in the package: how the teacher is trained, but for the
published dropout and a penalty as small as is usual, since the parameters were tuned for the
logits of such a teacher; the kind of GraphSAGE, the bias of SGC and the dropout of both; APPNP
drops no edges.  The gradient is exact, and its second pass is without dropout.
"""

from functools import partial
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from sklearn_ltd import GNNNodeClassifier
from sklearn_ltd._backbones import make_backbone
from sklearn_ltd._base import graph_tensors
from sklearn_ltd._distill import TEMPERATURE_FEATURES, LearnedDistillation, TemperatureNetwork
from sklearn_ltd._torch import seeded

PARAMETERS = {  # lambda, k, alpha, beta
    "cora": {
        "gcn": (1, 1, 1.92e-4, 2.60e-4),
        "gat": (1, 2, 1.68e-3, 3.29e-4),
        "sage": (1, 3, 8.74e-4, 2.24e-4),
        "appnp": (1, 3, 7.25e-4, 4.15e-4),
        "sgc": (1, 2, 7.14e-4, 1.92e-4),
    },
    "citeseer": {
        "gcn": (1, 1, 6.90e-6, 7.46e-5),
        "gat": (1, 2, 6.24e-5, 1.71e-4),
        "sage": (1, 3, 9.79e-6, 2.06e-4),
        "appnp": (1, 3, 2.60e-4, 4.42e-5),
        "sgc": (1, 1, 1.24e-5, 1.35e-4),
    },
    "amazon_computers": {
        "gcn": (100, 1, 3.85e-6, 1.18e-5),
        "gat": (200, 2, 3.56e-6, 6.82e-5),
        "sage": (200, 3, 6.86e-7, 1.12e-5),
        "appnp": (200, 3, 8.60e-6, 1.42e-5),
        "sgc": (200, 1, 6.00e-6, 8.52e-5),
    },
    "amazon_photo": {
        "gcn": (50, 1, 1.01e-5, 1.89e-4),
        "gat": (50, 2, 1.89e-5, 1.78e-4),
        "sage": (50, 3, 7.19e-6, 6.60e-5),
        "appnp": (50, 3, 2.99e-5, 5.64e-6),
        "sgc": (50, 1, 1.67e-5, 8.40e-5),
    },
}
TEACHER_WEIGHT_DECAY = 0.002
DROPOUT = {"gcn": 0.8, "gat": 0.6, "sage": 0.5, "appnp": 0.5, "sgc": 0.5}
MAX_ITER, N_ITER_NO_CHANGE, WARMUP_ITER = 600, 50, 20


class PublishedLTD:
    """A teacher and its student.

    Parameters
    ----------
    name : str
        Of the graph, in `PARAMETERS`.
    backbone : str
    random_state : int
        Of the student; that of the teacher is another one.
    """

    def __init__(self, name, backbone, random_state):
        self.label_weight, self.scale, self.lr, self.temperature_lr = PARAMETERS[name][backbone]
        self.backbone = backbone
        self.random_state = random_state

    def fit(self, graph, y, role):
        teacher = GNNNodeClassifier(
            self.backbone,
            dropout=DROPOUT[self.backbone],
            weight_decay=TEACHER_WEIGHT_DECAY,
            random_state=self.random_state + 1000,
        ).fit(graph, y, role=role)
        teacher_logits = teacher.predict_log_proba(graph).astype(np.float32)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.codes = torch.from_numpy(codes)
        self.nodes = {name: torch.from_numpy(np.flatnonzero(role == name)) for name in set(role)}
        tensors = graph_tensors(graph, torch.device("cpu"))
        unchanged = mock.patch("sklearn_ltd._distill._standardize", lambda x: x)
        with seeded(self.random_state, torch.device("cpu")), unchanged:
            self._run(self._make_step(tensors, torch.from_numpy(teacher_logits)))
        return self

    def _make_step(self, tensors, teacher_logits):
        n_features, n_classes = tensors.x.shape[1], len(self.classes_)
        dropout = DROPOUT[self.backbone]
        module = make_backbone(self.backbone, n_features, n_classes, 64, 2, dropout).train()
        network = TemperatureNetwork(n_classes, TEMPERATURE_FEATURES, self.scale, negative=True)
        return LearnedDistillation(
            module,
            tensors,
            teacher_logits,
            None,
            self._loss,
            torch.optim.SGD(module.parameters(), self.lr),
            network=network,
            temperature_optimizer=torch.optim.SGD(network.parameters(), self.temperature_lr),
            held_out=self.nodes["temperature"],
            evaluation_loss=partial(
                F.cross_entropy, target=self.codes[self.nodes["temperature"]], reduction="sum"
            ),
            warmup_iter=WARMUP_ITER,
            interval=1,
        )

    def _hard_loss(self, logits, role, reduction="sum"):
        nodes = self.nodes[role]
        return F.cross_entropy(logits[nodes], self.codes[nodes], reduction=reduction)

    def _loss(self, logits, targets):
        soft = -(targets * logits.log_softmax(1)).sum()
        return soft + self.label_weight * self._hard_loss(logits, "train")

    def _run(self, step):
        self.history_, self.best_iter_ = [], 0
        stop = self.nodes["stop"]
        for epoch in range(1, MAX_ITER + 1):
            _, logits = step()
            right = (logits[stop].argmax(1) == self.codes[stop]).double().mean().item()
            loss = self._hard_loss(logits, "stop", "mean").item()
            self.history_.append({"stop_accuracy": right, "stop_loss": loss})
            if not self.best_iter_ or right >= self.history_[self.best_iter_ - 1]["stop_accuracy"]:
                self.best_iter_, self.logits_ = epoch, logits
            elif epoch - self.best_iter_ >= N_ITER_NO_CHANGE:
                break
        self.n_iter_ = len(self.history_)

    def score(self, graph, y):
        """Accuracy on a view of the graph of `fit`."""
        return np.mean(self.classes_[self.logits_[graph.nodes].argmax(1)] == y)
