"""The method: temperatures per node, and how they are learned or guessed.

Yang et al., "Learning to Distill Graph Neural Networks", WSDM 2023.  The notation of the
docstrings: student logits z, teacher logits z^t, temperatures tau, temperature network with
parameters omega, student parameters theta.
"""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from ._distributed import own_share
from ._neighborhood import receptive_field
from ._replay import runner
from ._sampling import shuffled
from ._torch import (
    block_size,
    by_class,
    class_log_softmax,
    class_softmax,
    dropout,
    number,
    order_statistics,
    relu_dropout_factors,
)
from ._train import clone_state, cross_entropy, predict_logits, trainable

TEMPERATURE_FEATURES = ("logits", "norm", "entropy")
SMALLEST_TEMPERATURE = 1e-3


def soft_targets(teacher_logits, temperatures, weights=None):
    """``q_v = w_v softmax(z^t_v / tau_v)``; |tau| is kept off zero, with its sign.

    Parameters
    ----------
    teacher_logits : torch.Tensor of shape (n, n_classes)
    temperatures : torch.Tensor of shape (n,)
    weights : torch.Tensor of shape (n,) or None
        How much each node counts; the loss is linear in its targets.  None: 1.

    Returns
    -------
    targets : torch.Tensor of shape (n, n_classes)
    """
    sign = torch.where(temperatures < 0, -1.0, 1.0).to(temperatures)
    safe = sign * temperatures.abs().clamp_min(SMALLEST_TEMPERATURE)
    targets = class_softmax(teacher_logits / safe.unsqueeze(1))
    return targets if weights is None else weights.unsqueeze(1) * targets


def neighbor_entropy(probabilities, mean):
    """``H_v``: entropy of the mean of the neighbours' predictions, in nats.

    Parameters
    ----------
    probabilities : torch.Tensor of shape (n, n_classes)
    mean : SparseMatrix
        Row v averages over the neighbours of v, see `EdgeTensors.neighbor_mean`.

    Returns
    -------
    entropy : torch.Tensor of shape (n,)
    """
    return torch.special.entr(mean @ probabilities).sum(1)


def distillation_loss(logits, targets, train_nodes, train_y, label_weight, class_weight=None):
    """``mean_v CE(q_v, p_v) + label_weight * mean_{v in V_D} CE(y_v, p_v)``.

    `targets` may be those of the first rows of `logits` alone.  The paper sums over nodes; means
    make the step size independent of the graph's size.
    """
    # A slice of all rows would have a gradient that is copied.
    imitating = logits if len(logits) == len(targets) else logits[: len(targets)]
    log_proba = class_log_softmax(imitating)
    soft_loss = -(targets * log_proba).sum() / len(targets)
    if label_weight == 0:
        return soft_loss
    hard_loss = cross_entropy(logits[train_nodes], train_y, class_weight)
    return soft_loss + label_weight * hard_loss


def distillation_batches(loss, batch_size, rng):
    """Mini-batches of distillation with fixed temperatures, see `SampledStep`.

    Parameters
    ----------
    loss : functools.partial
        Of `distillation_loss` on the whole graph.
    batch_size : int
        Nodes drawn from the whole graph for each batch; they come first in it, and after them
        at most as many "train" nodes, in random order.
    rng : RandomState
    """
    targets, nodes, codes = (loss.keywords[name] for name in ("targets", "train_nodes", "train_y"))
    for part in shuffled(len(nodes), batch_size, rng):
        drawn = own_share(rng.randint(len(targets), size=batch_size))
        batch_loss = partial(
            loss,
            targets=targets[drawn],
            train_nodes=torch.arange(len(drawn), len(drawn) + len(part), device=nodes.device),
            train_y=codes[part],
        )
        yield np.concatenate([drawn, nodes[part].cpu().numpy()]), batch_loss


class TemperatureNetwork(nn.Module):
    """``tau_v = k/2 * 5 ** (2 sigmoid(MLP_omega(x_v)) - 1)``, in (k / 10, 5 k / 2).

    The paper's ``tau_v = k (sigmoid(MLP_omega(x_v)) - 0.2)``, in (-0.2 k, 0.8 k), is there if
    `negative`.  The sharpest targets are those next to zero, and a step beyond turns them
    round: where sharper targets pay, its temperatures run off to negative ones, and the
    student learns the opposite of its teacher.

    Two layers with 64 hidden units, dropout on the inputs of both.  The inputs are
    standardised over the nodes, so that the scale of the logits does not matter.

    Parameters
    ----------
    n_classes : int
    features : tuple of str
        Which of "logits" (z_v), "norm" (||z_v||_2) and "entropy" (H_v) make up x_v.
    scale : float
        The paper's k.
    negative : bool
        Whether temperatures may be negative, as in the paper.
    """

    n_hidden = 64
    dropout = 0.4

    def __init__(self, n_classes, features, scale, negative=False):
        super().__init__()
        self.negative = negative
        self.features = features
        self.scale = scale
        n_inputs = sum(n_classes if name == "logits" else 1 for name in features)
        self.first = nn.Linear(n_inputs, self.n_hidden)
        self.second = nn.Linear(self.n_hidden, 1)

    def forward(self, logits, entropy):
        """Temperatures of shape (n,) for student logits (n, n_classes) and H (n,)."""
        columns = {"logits": logits, "norm": logits.norm(dim=1, keepdim=True)}
        columns["entropy"] = entropy.unsqueeze(1)
        x = _standardize(torch.cat([columns[name] for name in self.features], 1))
        x = dropout(x, self.dropout, self.training)
        first, second = self.first, self.second
        layers = first.weight, first.bias, second.weight, second.bias
        position = torch.sigmoid(_TwoLayers.apply(x, *layers, self.dropout, self.training))
        if self.negative:
            return self.scale * (position - 0.2)
        return self.scale * 0.5 * 5 ** (2 * position - 1)


class _TwoLayers(torch.autograd.Function):
    """``w_2 . relu_dropout(W_1 x + b_1) + b_2`` for every row x.

    For a given mask it is linear in each of its parts, and all gradients of the weights follow
    from one product, of the mask with the rows times their gradients.  Layer by layer, the way
    back would make a tensor of all hidden units at all rows, twice.  The way forward is in blocks
    of rows, whose hidden units stay in the cache.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, out_weight, out_bias, p, training):
        out, mask = x.new_empty(len(x)), x.new_empty(len(x), len(weight))
        size = block_size(x, len(weight))
        for rows, values, factors in zip(x.split(size), out.split(size), mask.split(size)):
            hidden = torch.addmm(bias, rows, weight.t())
            factors.copy_(relu_dropout_factors(hidden, p, training))
            torch.addmv(out_bias, hidden.mul_(factors), out_weight[0], out=values)
        ctx.save_for_backward(x, weight, bias, out_weight, mask)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, out_weight, mask = ctx.saved_tensors
        column = grad.unsqueeze(1)
        sums = torch.cat([column * x, column], 1).t() @ mask
        grad_out_weight = (sums * torch.cat([weight.t(), bias.unsqueeze(0)])).sum(0, keepdim=True)
        sums = sums * out_weight
        grad_x = (column * mask * out_weight) @ weight if ctx.needs_input_grad[0] else None
        return grad_x, sums[:-1].t(), sums[-1], grad_out_weight, grad.sum().view(1), None, None


def _standardize(x):
    centered = x - x.mean(0)
    return centered / (centered.square().mean(0).sqrt() + 1e-6)


def heuristic_temperatures(teacher_logits, mean, weights, scale):
    """Temperatures without learning, for the scalable variant; the formula is ours.

    ``tau_v = 0.8 k sigmoid(mu z(-margin_v) + nu z(-||z^t_v||) + gamma z(H_v))``, where z()
    standardises over the nodes, margin is the difference of the two largest teacher
    probabilities and the logits are centred: the three signals of the temperature network, each
    turned so that it grows
    where the teacher is more often wrong.  A doubtful node gets a soft target and hence
    little say.  The paper publishes no formula for its own heuristic.

    Parameters
    ----------
    teacher_logits : torch.Tensor of shape (n, n_classes)
    mean : SparseMatrix
    weights : tuple of 3 floats
        (mu, nu, gamma).
    scale : float
        The paper's k.

    Returns
    -------
    temperatures : torch.Tensor of shape (n,)
    """
    probabilities = class_softmax(teacher_logits)
    top = probabilities.topk(2, dim=1).values
    margin = top[:, 0] - top[:, 1]
    centered = teacher_logits - teacher_logits.mean(1, keepdim=True)
    entropy = neighbor_entropy(probabilities, mean)
    signals = _standardize(torch.stack([-margin, -centered.norm(dim=1), entropy], 1))
    return 0.8 * scale * torch.sigmoid(signals @ signals.new_tensor(weights))


def judging_field(module, graph, nodes, device):
    """What the logits of the nodes that judge depend on, see `receptive_field`; None: the graph.

    The field needs a pass of its own, the graph the way back alone: the logits of all nodes are
    there anyway.  And it may keep the features of many more nodes than its first hidden layer has.
    """
    return receptive_field(module, graph, nodes, device, most_hidden=0.25)


class LearnedDistillation:
    """One epoch of LTD: prepare, distil, learn (Yang et al., 2023, the iterative process).

    The evaluation loss is that of the *updated* student theta'(omega), without dropout, whose
    logits serve the early stopping and the next temperatures as well.  Between the epochs that
    prepare and learn, the student is distilled at the temperatures that are there.

    Parameters
    ----------
    module : torch.nn.Module
        The student.
    graph : GraphTensors
    teacher_logits : torch.Tensor of shape (n, n_classes)
    weights : torch.Tensor of shape (n,) or None
        How much the target of each node counts.
    loss : callable
        ``loss(logits, targets)``, see `distillation_loss`.
    optimizer : TensorAdam or torch.optim.Optimizer
        Of the student.
    network : TemperatureNetwork
    temperature_optimizer : TensorAdam or torch.optim.Optimizer or None
        Of the network; None leaves it at its random start.
    held_out : torch.Tensor of shape (n_held_out,)
        The nodes V_E by whose labels the temperatures are judged.
    evaluation_loss : callable
        Of their logits.
    field : GraphTensors or None
        What these logits alone depend on, see `judging_field`; None: the graph.
    warmup_iter : int
        Epochs before the temperatures begin to learn.
    interval : int
        Every so many epochs the temperatures are set anew, and learn; 1 in the paper.
    """

    stop_nodes_first = False
    carried = ("logits", "targets", "summary")
    changing = (
        *("module", "optimizer", "network", "temperature_optimizer"),
        *(*carried, "n_epochs"),
    )

    def __init__(
        self,
        module,
        graph,
        teacher_logits,
        weights,
        loss,
        optimizer,
        *,
        network,
        temperature_optimizer,
        held_out,
        evaluation_loss,
        field=None,
        warmup_iter,
        interval,
    ):
        self.module = module
        self.graph = graph
        self.teacher_logits = by_class(teacher_logits)
        self.weights = weights
        self.loss = loss
        self.optimizer = optimizer
        self.network = network
        self.temperature_optimizer = temperature_optimizer
        self.held_out = held_out
        self.evaluation_loss = evaluation_loss
        self.field = field
        self.warmup_iter = warmup_iter
        self.interval = interval
        self.entropy = neighbor_entropy(class_softmax(teacher_logits), graph.neighbor_mean)
        self.logits = predict_logits(module, graph)
        self.n_epochs = 0
        self._run = runner(module, filter(None, [optimizer, temperature_optimizer]))
        self.copies = self._shared = None
        self.targets = self.summary = None
        self.temperatures = self._temperatures()

    def __call__(self):
        warm = self.n_epochs - self.warmup_iter  # epochs since the end of the warm-up
        due = self.targets is None or warm % self.interval == 0
        learning = due and warm >= 0 and self.temperature_optimizer is not None
        self.n_epochs += 1
        return self._run(self, due, learning)

    def epoch(self, due, learning):
        """One epoch, in which the temperatures are set anew or not, and learn or not."""
        targets = self._prepare(learning) if due else self.targets
        loss, gradients, leaf = self._distil(targets, learning)
        if learning:
            logits, evaluation = self._learn(targets, gradients, leaf)
        else:
            logits = predict_logits(self.module, self.graph, **self._shared)
            evaluation = self.evaluation_loss(logits[self.held_out])
        self.logits = logits.detach()
        losses = {"loss": loss.detach(), "evaluation_loss": evaluation.detach()}
        return losses | dict(zip(_SUMMARY, self.summary, strict=True)), self.logits

    def _prepare(self, learning):
        """The targets at the temperatures of the student as it is now."""
        with torch.set_grad_enabled(learning):
            temperatures = self.network(self.logits, self.entropy)
            targets = self._targets(temperatures)
        self.targets = targets.detach()
        self.summary = _summarize(temperatures.detach())
        return targets

    def _targets(self, temperatures):
        return soft_targets(self.teacher_logits, temperatures, self.weights)

    def _distil(self, targets, learning):
        """One step of the student; the gradient keeps its graph if it is to be learned from."""
        leaf = targets.detach().requires_grad_(learning)
        if not self._shared:
            self._copy()
        loss = self.loss(self._forward(), leaf)
        gradients = torch.autograd.grad(
            loss, list(self.copies.values()), create_graph=learning, materialize_grads=True
        )
        for parameter, gradient in zip(trainable(self.module), gradients):
            parameter.grad = gradient.detach()
        self.optimizer.step()
        self._copy()
        return loss, gradients, leaf

    def _copy(self):
        """Copies of the parameters, on which the passes run, and what these share.

        The optimizer changes the parameters in place while the graph of the gradient still needs
        them.  Where nothing is shared, an epoch begins with new ones: others may have changed the
        parameters of a module of theirs.
        """
        self.copies = {
            name: parameter.detach().clone().requires_grad_()
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad
        }
        self._shared = self.module.shared(self.graph, self.copies) if self._run.shares else {}

    def _forward(self):
        return functional_call(self.module, self.copies, (self.graph,), self._shared)

    def _learn(self, targets, gradients, leaf):
        """One step of the temperature network along the exact hypergradient.

        With theta' = theta - P grad L(theta, q), P the optimizer's `step_scale`, and the loss
        linear in q, ``dL_eval/dq = - d<P dL_eval/dtheta', grad L>/dq``: one backward pass
        through the graph of the gradient, then through q to omega.
        """
        logits, evaluation = self._evaluate()
        # What the next epoch's pass shares is retained.
        outer = torch.autograd.grad(
            evaluation,
            list(self.copies.values()),
            retain_graph=self.field is None,
            materialize_grads=True,
        )
        evaluation = evaluation.detach()
        direction = self._direction(outer, gradients)
        (derivative,) = torch.autograd.grad(_Along.apply(direction, *gradients), leaf)
        self.temperature_optimizer.zero_grad()
        _Along.apply([-derivative], targets).backward()
        self.temperature_optimizer.step()
        return logits, evaluation

    def _evaluate(self):
        """Logits without dropout of all nodes, and the evaluation loss, which has a gradient."""
        self.module.eval()
        with torch.set_grad_enabled(self.field is None):
            logits = self._forward()
        if self.field is None:
            judged = logits[self.held_out]
        else:
            judged = functional_call(self.module, self.copies, (self.field,))
        self.module.train()
        return logits.detach(), self.evaluation_loss(judged)

    def _direction(self, outer, gradients):
        """``P dL_eval/dtheta'``, along which the gradient of the student's loss is judged.

        `gradients` are that gradient, with its graph, for a subclass that looks further ahead.
        """
        scales = step_scale(self.optimizer, trainable(self.module))
        return [s * g for s, g in zip(scales, outer)]

    @torch.no_grad()
    def _temperatures(self):
        """The temperatures of all nodes, without dropout."""
        self.network.eval()
        temperatures = self.network(self.logits, self.entropy)
        self.network.train()
        return temperatures

    def snapshot(self):
        """Copies of the student, and of what its temperatures follow from."""
        return clone_state(self.module), clone_state(self.network), self.logits.clone()

    def restore(self, snapshot):
        student, network, logits = snapshot
        self.logits = logits.to(self.entropy.device)  # of a checkpoint
        self.module.load_state_dict(student)
        self.network.load_state_dict(network)
        self.temperatures = self._temperatures()


class _Along(torch.autograd.Function):
    """``sum <tensor, direction>``, to be differentiated as it is: the value is 0, not the sum.

    Torch's own way, ``grad_outputs``, loads its compiler, a second or more.
    """

    @staticmethod
    def forward(ctx, directions, *tensors):
        ctx.directions = directions
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx, _):
        return None, *ctx.directions


def step_scale(optimizer, parameters):
    """``- d theta' / d gradient`` of the optimizer's last step, for each of its parameters.

    For SGD the learning rate.  For TensorAdam
    ``lr size / unit^2 (1 - b1) / (1 - b1^t) / (sqrt(v_hat) + eps)``, and for torch's Adam the same
    without size and unit, with the second moment v held, as its own change with the gradient is
    what makes them forget the gradient's size.
    """
    scales = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if isinstance(optimizer, torch.optim.SGD):
                scales[parameter] = group["lr"]
                continue
            state = optimizer.state[parameter]
            beta1, beta2 = group["betas"]
            t = number(state["step"]) if torch.is_tensor(state["step"]) else state["step"]
            denominator = (state["exp_avg_sq"] / (1 - beta2**t)) ** 0.5 + group["eps"]
            rate = group["lr"] * state.get("size", 1.0) / group.get("unit", 1.0) ** 2
            scales[parameter] = rate * (1 - beta1) / (1 - beta1**t) / denominator
    return [scales[parameter] for parameter in parameters]


_SUMMARY = [f"temperature_{name}" for name in ("mean", "negative", "q05", "median", "q95")]


def _summarize(temperatures):
    """What the history tells of the temperatures, in the order of `_SUMMARY`."""
    last = len(temperatures) - 1  # torch.quantile refuses more than 2^24 nodes
    quantiles = order_statistics(temperatures, [round(share * last) for share in (0.05, 0.5, 0.95)])
    negative = (temperatures < 0).to(temperatures.dtype)
    return torch.stack([temperatures.mean(), negative.mean(), *quantiles])
