"""The epoch loop: early stopping, history, and what is kept when a run goes wrong."""

import math
import warnings

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning


@torch.no_grad()
def predict_logits(module, graph):
    """Logits of all nodes without dropout; the module is left in training mode."""
    module.eval()
    logits = module(graph)
    module.train()
    return logits


def clone_state(module):
    """Copies of a module's parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def trainable(module):
    """The parameters that are not frozen by ``requires_grad = False``."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


class Supervised:
    """One epoch of ordinary training: cross-entropy on the labelled nodes.

    Parameters
    ----------
    module : torch.nn.Module
        A backbone.
    graph : GraphTensors
    nodes, y : torch.Tensor of shape (n_train,)
        Positions and class codes of the training labels.
    class_weight : torch.Tensor of shape (n_classes,) or None
    optimizer : torch.optim.Optimizer
    """

    def __init__(self, module, graph, nodes, y, class_weight, optimizer):
        self.module = module
        self.graph = graph
        self.nodes = nodes
        self.y = y
        self.class_weight = class_weight
        self.optimizer = optimizer

    def __call__(self):
        """Step once; return the losses and the logits after the step."""
        self.optimizer.zero_grad()
        logits = self.module(self.graph)
        loss = F.cross_entropy(logits[self.nodes], self.y, self.class_weight)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}, predict_logits(self.module, self.graph)

    def snapshot(self):
        """Copies of what the best epoch has to restore."""
        return clone_state(self.module)

    def restore(self, snapshot):
        self.module.load_state_dict(snapshot)


def run_epochs(
    step,
    stop_nodes,
    stop_y,
    *,
    max_iter,
    n_iter_no_change,
    tasks,
    first_epoch=0,
    verbose=0,
    name="",
):
    """Repeat `step` until the stop nodes no longer get better; restore the best epoch.

    The best epoch is the one with the highest accuracy on the stop nodes and, among equals,
    the lowest loss on them.  Without stop nodes all epochs run and the last one counts.

    Parameters
    ----------
    step : callable
        Returns a dict of losses and the logits of all nodes after the step; has `snapshot`
        and `restore`.
    stop_nodes, stop_y : torch.Tensor of shape (n_stop,)
    max_iter, n_iter_no_change : int
        Epochs at most, and epochs without a better one after which to stop.
    first_epoch : int
        Epochs before this one (from 0) count only if none after it is reached.
    tasks : FitTasks
        Told when an epoch begins and ends; may ask to stop.
    verbose : int
        Print a line every tenth epoch, or every epoch from 2 up.
    name : str
        What the printed lines begin with.

    Returns
    -------
    history : list of dict of float
        One per epoch: the losses of `step`, and `stop_accuracy` and `stop_loss` where there
        are stop nodes.
    best_epoch : int
        Its position in `history`.

    Warns
    -----
    ConvergenceWarning
        If the numbers become infinite, the loss has grown tenfold, or the run is interrupted;
        the best epoch is kept.

    Raises
    ------
    FloatingPointError
        If there is no finite epoch at all.
    """
    history, best_key, best_epoch, kept = [], (-math.inf, -math.inf), -1, None
    try:
        for epoch in range(max_iter):
            tasks.begin_epoch()
            losses, logits = step()
            asked_to_stop = tasks.end_epoch()
            record, finite = _evaluate(losses, logits, stop_nodes, stop_y)
            if not finite:
                if kept is not None:
                    _warn(name, f"the loss is no longer finite in epoch {epoch + 1}")
                break
            history.append(record)
            if epoch == first_epoch:
                best_key = (-math.inf, -math.inf)
            key = (record.get("stop_accuracy", 0.0), -record.get("stop_loss", 0.0))
            if key >= best_key:
                best_key, best_epoch, kept = key, epoch, step.snapshot()
            if verbose and (verbose > 1 or epoch % 10 == 0):
                numbers = "  ".join(f"{k} {v:.4f}" for k, v in record.items())
                print(f"[{name}] epoch {epoch + 1:4d}  {numbers}")
            judged = len(stop_nodes) > 0 and epoch >= first_epoch
            stale = judged and epoch - best_epoch >= n_iter_no_change
            if stale or asked_to_stop:
                break
    except KeyboardInterrupt:
        if kept is None:
            raise
        _warn(name, f"interrupted in epoch {len(history) + 1}")
    if kept is None:
        raise FloatingPointError(
            f"{name}: no epoch gave finite numbers. Lower learning_rate, or scale the node "
            "features, e.g. NodeFeatures(StandardScaler())."
        )
    first, last = history[0]["loss"], history[-1]["loss"]
    if last > 10 * first:
        _warn(name, f"the loss has grown from {first:.3g} to {last:.3g}, lower learning_rate")
    step.restore(kept)
    return history, best_epoch


def _evaluate(losses, logits, stop_nodes, stop_y):
    """The epoch's record, brought to the CPU in one go, and whether all numbers are finite."""
    numbers = dict(losses)
    if len(stop_nodes):
        stop = logits[stop_nodes]
        numbers["stop_accuracy"] = (stop.argmax(1) == stop_y).to(logits.dtype).mean()
        numbers["stop_loss"] = F.cross_entropy(stop, stop_y)
    numbers["sum"] = logits.square().sum()  # norms and deviations have to be finite as well
    values = torch.stack([number.detach().to(logits.dtype) for number in numbers.values()])
    record = dict(zip(numbers, values.tolist()))
    finite = all(map(math.isfinite, record.values()))
    del record["sum"]
    return record, finite


def _warn(name, what):
    message = f"{name}: {what}; the best epoch so far is kept."
    warnings.warn(message, ConvergenceWarning, stacklevel=7)
