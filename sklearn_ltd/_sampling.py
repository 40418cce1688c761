"""Training on mini-batches with sampled neighbours."""

import numpy as np
import torch

from ._distributed import add_up, average, n_ranks, own_share, rank
from ._neighborhood import stages_of
from ._torch import seeded
from ._train import PlainStep, predict_logits, trainable


def shuffled(n, batch_size, rng):
    """The numbers below `n` in random order, in parts of `batch_size`: our share of each part."""
    order = rng.permutation(n)
    return [own_share(order[i : i + batch_size]) for i in range(0, n, batch_size)]


class SampledStep(PlainStep):
    """One epoch of training on mini-batches with sampled neighbours.

    The stop nodes are judged on sampled neighbours too, the same ones in every epoch.  In a
    process group every rank works on its share of each mini-batch and of the stop nodes.

    Parameters
    ----------
    module : torch.nn.Module
        A backbone with stages.
    graph : LargeGraph
    batches : callable
        ``batches(batch_size, rng)`` lists the mini-batches of an epoch: pairs of nodes and a
        loss of their logits.
    optimizer : TensorAdam or torch.optim.Optimizer
    stop_nodes : ndarray of shape (n_stop,)
    batch_size, n_neighbors : int
    seed : int
        Every epoch draws from the seed, its number and the rank alone.
    """

    changing = ("module", "optimizer", "n_epochs")
    stop_nodes_first = True

    def __init__(
        self, module, graph, batches, optimizer, *, stop_nodes, batch_size, n_neighbors, seed
    ):
        self.module = module
        self.graph = graph
        self.batches = batches
        self.optimizer = optimizer
        self.stop_nodes = stop_nodes
        self.batch_size = batch_size
        self.n_neighbors = n_neighbors
        self.n_hops = sum(n_hops for n_hops, _ in stages_of(module))
        self.seed = seed
        self.n_epochs = 0

    def __call__(self):
        """Step once per mini-batch; return the mean loss and the logits of the stop nodes."""
        self.n_epochs += 1
        order = np.random.RandomState([self.seed, self.n_epochs])  # the same on all ranks
        rng = np.random.RandomState([self.seed, self.n_epochs, rank()])
        losses = []
        with seeded(rng.randint(2**31), self.graph.device):
            for nodes, loss_of in self.batches(self.batch_size, order):
                seeds, places = np.unique(nodes, return_inverse=True)
                logits = self.module(self._sample(seeds, rng))
                loss = loss_of(logits[torch.from_numpy(places).to(logits.device)])
                self._descend(loss)
                losses.append(loss.detach())
        loss = torch.stack(losses).mean()
        average([loss])
        return {"loss": loss}, self._stop_logits(logits.shape[1])

    def _descend(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        average([p.grad for p in trainable(self.module) if p.grad is not None])
        self.optimizer.step()

    def _sample(self, seeds, rng):
        averages_over = self.module.averages_over
        return self.graph.sample(seeds, self.n_hops, self.n_neighbors, rng, averages_over)

    def _stop_logits(self, n_classes):
        rng = np.random.RandomState([self.seed, 0, rank()])
        logits = torch.zeros(
            len(self.stop_nodes), n_classes, dtype=self.graph.dtype, device=self.graph.device
        )
        own = np.arange(rank(), len(self.stop_nodes), n_ranks())
        for start in range(0, len(own), self.batch_size):
            part = own[start : start + self.batch_size]
            logits[part] = predict_logits(self.module, self._sample(self.stop_nodes[part], rng))
        add_up(logits)
        return logits
