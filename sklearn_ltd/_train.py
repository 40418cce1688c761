"""The epoch loop: early stopping, history, and what is kept when a run goes wrong."""

import math
import warnings

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning

from ._checks import users_level
from ._distributed import n_ranks
from ._replay import runner
from ._torch import generator_states, set_generator_states

_AGREEMENT = 0.9  # of a student with its targets, from which on its loss alone counts
_PENALTY = 3.0


@torch.no_grad()
def predict_logits(module, graph, **shared):
    """Logits without dropout; the module is left in training mode.

    `shared` is what `_Backbone.shared` gave for the module's present parameters, if anything.
    """
    module.eval()
    logits = module(graph, **shared)
    module.train()
    return logits


def clone_state(module):
    """Copies of a module's parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def trainable(module):
    """The parameters that are not frozen by ``requires_grad = False``."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def cross_entropy(logits, y, class_weight=None):
    """The mean over the nodes, weighted by class; 0 where all of them weigh nothing."""
    if class_weight is None:
        return F.cross_entropy(logits, y)
    weight = class_weight.to(logits.dtype)
    total = F.cross_entropy(logits, y, weight, reduction="sum")
    return total / weight[y].sum().clamp_min(torch.finfo(logits.dtype).tiny)


class PlainStep:
    """One epoch of ordinary training: one step of the optimizer on a loss of the logits.

    Parameters
    ----------
    module : torch.nn.Module
        A backbone.
    graph : GraphTensors
    loss : callable
        Of the logits.
    optimizer : TensorAdam or torch.optim.Optimizer
        Of the module.
    stop_nodes_first : bool
        Whether `graph` is only a part of the graph, in which the stop nodes come first.
    """

    changing: tuple[str, ...] = ("module", "optimizer")  # what an epoch changes, for checkpoints
    carried: tuple[str, ...] = ()  # tensors that it replaces, see `Replay`
    judged = True  # whether an epoch ends with a pass whose logits are looked at

    def __init__(self, module, graph, loss, optimizer, *, stop_nodes_first=False):
        self.module = module
        self.graph = graph
        self.loss = loss
        self.optimizer = optimizer
        self.stop_nodes_first = stop_nodes_first
        self._run = runner(module, [optimizer])
        self._shared = None  # by the pass that ends an epoch and the one that begins the next

    def __call__(self):
        """Step once; return the losses and the logits after the step.

        If they are not `judged`, those of the step, under its dropout, stand in for them.
        """
        return self._run(self, self.judged)

    def epoch(self, judged):
        """What a call does, kernel by kernel or as a recording."""
        if self._shared is None:
            self._shared = self._share()
        self.optimizer.zero_grad()
        logits = self.module(self.graph, **self._shared)
        loss = self.loss(logits)
        loss.backward()
        self.optimizer.step()
        self._shared = None  # makes room for the next
        if judged:
            self._shared = self._share()
            logits = predict_logits(self.module, self.graph, **self._shared)
        return {"loss": loss.detach()}, logits.detach()

    def _share(self):
        if not self._run.shares:
            return {}
        return self.module.shared(self.graph, dict(self.module.named_parameters()))

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
    class_weight=None,
    max_iter,
    n_iter_no_change,
    tasks,
    first_epoch=0,
    imitated=None,
    judged=True,
    verbose=0,
    name="",
    checkpoint=None,
):
    """Repeat `step` until the stop nodes no longer get better; restore the best epoch.

    The best epoch is the one with the lowest loss on the stop nodes, the latest among equals:
    the accuracy of a few nodes is noisy, and often highest in an early epoch whose
    probabilities are of no use yet.  The loss of a student is low as well where it is as yet
    undecided, above all if nothing is certain: there `_criterion` adds a penalty, and the epochs
    after which to stop are counted from where it agrees with its targets better than one class for
    all nodes would.  Without stop nodes all epochs run and the last one counts.

    Parameters
    ----------
    step : callable
        Returns a dict of losses and logits after the step; has `snapshot` and `restore`, and
        names what an epoch changes in `changing`.  Its `judged` is set to whether these logits
        are looked at.
    stop_nodes, stop_y : torch.Tensor of shape (n_stop,)
        Rows of these logits, and their classes.
    class_weight : torch.Tensor of shape (n_classes,) or None
        Of the loss on the stop nodes.
    max_iter, n_iter_no_change : int
        Epochs at most, and epochs without a better one after which to stop.
    first_epoch : int
        Epochs before this one (from 0) count only if none after it is reached.
    imitated : torch.Tensor of shape (n,) or None
        Classes that a student is to learn, for the rows of the logits.
    judged : bool
        False: nothing is asked of the epochs but that the last one is reached with finite logits,
        and a run with a shorter history is worth nothing.
    tasks : FitTasks or None
        Told when an epoch begins and ends; may ask to stop.
    verbose : int
        Print a line every tenth epoch, or every epoch from 2 up.
    name : str
        What the printed lines begin with.
    checkpoint : Checkpoint or None
        Where the run starts from, if something is there, and is saved.

    Returns
    -------
    run : _Run
        With `history`, `best_epoch` and whether it was `interrupted`.

    Warns
    -----
    ConvergenceWarning
        If the numbers become infinite, the loss has grown tenfold, or a run without checkpoints
        is interrupted; the best epoch is kept.

    Raises
    ------
    FloatingPointError
        If there is no finite epoch at all.
    """
    run = _Run(step, stop_nodes.device, checkpoint)
    one_class = _share_of_one_class(imitated)
    try:
        for epoch in range(max_iter if run.finished else len(run.history), max_iter):
            step.judged = judged or epoch == max_iter - 1
            if tasks is not None:
                tasks.begin_epoch()
            losses, logits = step()
            asked_to_stop = tasks is not None and tasks.end_epoch()
            record, finite = _evaluate(losses, logits, stop_nodes, stop_y, class_weight, imitated)
            if not finite:
                if run.kept is not None:
                    _warn(name, f"the loss is no longer finite in epoch {epoch + 1}")
                break
            run.add(record, forget=epoch == first_epoch)
            if verbose and (verbose > 1 or epoch % 10 == 0):
                numbers = "  ".join(f"{k} {v:.4f}" for k, v in record.items())
                print(f"[{name}] epoch {epoch + 1:4d}  {numbers}")
            may_stop = len(stop_nodes) > 0 and epoch >= first_epoch
            since = max(run.best_epoch, run.last_epoch_below(one_class))
            stale = may_stop and epoch - since >= n_iter_no_change
            if stale or asked_to_stop:
                break
            run.save_if_due()
        run.finish()
    except KeyboardInterrupt:
        # Other ranks may be in another epoch; and a fit with checkpoints is resumed.
        if run.kept is None or n_ranks() > 1 or checkpoint is not None:
            raise
        run.interrupted = True
        _warn(name, f"interrupted in epoch {len(run.history) + 1}")
    if run.kept is None:
        raise FloatingPointError(
            f"{name}: no epoch gave finite numbers. Lower learning_rate, or scale the node "
            "features, e.g. NodeFeatures(StandardScaler())."
        )
    first, last = run.history[0]["loss"], run.history[-1]["loss"]
    if last > 10 * first:
        _warn(name, f"the loss has grown from {first:.3g} to {last:.3g}, lower learning_rate")
    step.restore(run.kept)
    return run


class _Run:
    """Where a run of epochs stands: its history, the best epoch, and the step's own state.

    Attributes
    ----------
    history : list of dict of float
        One per epoch: the losses of the step, and `stop_accuracy` and `stop_loss` where there
        are stop nodes.
    best_epoch : int
        Its position in `history`.
    interrupted : bool
    """

    _own = ("history", "best_loss", "best_epoch", "kept", "finished")

    def __init__(self, step, device, checkpoint):
        self.step = step
        self.device = device
        self.checkpoint = checkpoint
        self.history = []
        self.best_loss, self.best_epoch, self.kept = math.inf, -1, None
        self.finished = self.interrupted = False
        state = None if checkpoint is None else checkpoint.load()
        if state is not None:
            self._load(state)

    def add(self, record, forget):
        """Note an epoch and keep it if it is the best, of all or of those not to `forget`."""
        self.history.append(record)
        if forget:
            self.best_loss = math.inf
        loss = _criterion(record)
        if loss <= self.best_loss:
            self.best_loss, self.best_epoch = loss, len(self.history) - 1
            self.kept = self.step.snapshot()

    def last_epoch_below(self, agreement):
        """Where the student last agreed with its targets less than that; -1 if it never did."""
        epochs = range(len(self.history) - 1, -1, -1)
        below = (e for e in epochs if self.history[e].get("agreement", 1.0) < agreement)
        return next(below, -1)

    def save_if_due(self):
        if self.checkpoint is not None and self.checkpoint.is_due():
            self.checkpoint.save(self._state())

    def finish(self):
        """Save the last state, from which the same fit is given without training."""
        if self.checkpoint is not None and self.kept is not None and not self.finished:
            self.finished = True
            self.checkpoint.save(self._state())

    def _state(self):
        """All that the next epoch depends on, in tensors, numbers and containers."""
        parts = {name: getattr(self.step, name) for name in self.step.changing}
        return {
            "run": {name: getattr(self, name) for name in self._own},
            "step": {
                name: part.state_dict() if hasattr(part, "state_dict") else part
                for name, part in parts.items()
            },
            "generators": generator_states(self.device),
        }

    def _load(self, state):
        vars(self).update(state["run"])
        for name, value in state["step"].items():
            part = getattr(self.step, name)
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(value)
            else:
                setattr(self.step, name, value.to(self.device) if torch.is_tensor(value) else value)
        set_generator_states(state["generators"], self.device)


def _share_of_one_class(classes):
    """The share of the most frequent one, and a little more; 0 where there is no other."""
    if classes is None or not len(classes):
        return 0.0
    share = float(classes.bincount().max()) / len(classes)
    return share + 1e-3 if share < 1 else 0.0


def _criterion(record):
    """What the best epoch has the least of."""
    if "stop_loss" not in record:
        return 0.0
    missing = max(0.0, _AGREEMENT - record.get("agreement", 1.0))
    return record["stop_loss"] + _PENALTY * missing


def _evaluate(losses, logits, stop_nodes, stop_y, class_weight, imitated):
    """The epoch's record, brought to the CPU in one go, and whether all numbers are finite."""
    numbers = dict(losses)
    if len(stop_nodes):
        stop = logits[stop_nodes]
        numbers["stop_accuracy"] = (stop.argmax(1) == stop_y).to(logits.dtype).mean()
        numbers["stop_loss"] = cross_entropy(stop, stop_y, class_weight)
    if imitated is not None and len(logits):
        numbers["agreement"] = (logits.argmax(1) == imitated).to(logits.dtype).mean()
    numbers["sum"] = logits.square().sum()  # norms and deviations have to be finite as well
    values = torch.stack([number.detach().to(logits.dtype) for number in numbers.values()])
    record = dict(zip(numbers, values.tolist()))
    finite = all(map(math.isfinite, record.values()))
    del record["sum"]
    return record, finite


def _warn(name, what):
    message = f"{name}: {what}; the best epoch so far is kept."
    warnings.warn(message, ConvergenceWarning, stacklevel=users_level())
