"""The optimizer: Adam with steps in proportion to each tensor.

Of our own also because any optimizer of `torch.optim` imports torch's compiler, a second or more.
"""

import torch

from ._torch import number


class TensorAdam:
    """Adam with one second moment and one step size per tensor, and an L2 penalty.

    Adam divides each entry of the gradient by the entry's own size, so that the weights of a rare
    word move as fast as those of a frequent one.  Here all entries of a tensor are divided by their
    root mean square (Adam-mini of Zhang et al., each tensor being a block), and the step is
    proportional to the tensor's size (LARS of You et al., but of the size at the start): the root
    mean square of its entries, or ``0.1 / sqrt(entries per row)`` if that is more, so that biases
    and others that start at zero or next to it move as well.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
    lr : float
        Root mean square of the first step, relative to the size of the tensor.
    weight_decay : float, default=0.0

    Attributes
    ----------
    param_groups : list of dict
        `params` and their settings, as in torch; with `unit` u (1 by default) they are trained as
        if they were u times as large, and what they are multiplied with so much smaller.
    state : dict
        Parameter to the number of steps, the two moments, named as in torch, and `size`.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    Zhang et al., "Adam-mini: Use Fewer Learning Rates To Gain More", ICLR 2025.
    You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888.
    """

    def __init__(self, parameters, lr, weight_decay=0.0):
        self.defaults = {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8}
        self.defaults |= {"weight_decay": weight_decay, "unit": 1.0}
        self.param_groups = []
        self.state = {}
        self.add_param_group({"params": parameters})

    def add_param_group(self, group):
        """Settings that the group lacks are those of the optimizer."""
        self.param_groups.append(self.defaults | group | {"params": list(group["params"])})

    def zero_grad(self):
        for parameter in self._parameters():
            parameter.grad = None

    @torch.no_grad()
    def step(self):
        """Change the parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter, group):
        betas, unit = group["betas"], group["unit"]
        state = self.state.get(parameter)
        if state is None:
            state = self.state[parameter] = _start(parameter, unit)
        state["step"] += 1
        share1, share2 = (1 - beta ** state["step"] for beta in betas)
        gradient = parameter.grad if unit == 1 else parameter.grad / unit
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"] * unit)
        mean = state["exp_avg"].lerp_(gradient, 1 - betas[0])
        state["exp_avg_sq"] += (1 - betas[1]) * (_mean_square(gradient) - state["exp_avg_sq"])
        root = (state["exp_avg_sq"] / share2) ** 0.5 + group["eps"]
        step = group["lr"] * state["size"] / (share1 * unit * root)
        if torch.is_tensor(step):
            parameter.addcmul_(mean, step.to(mean.dtype), value=-1)
        else:
            parameter.add_(mean, alpha=-step)

    def state_dict(self):
        """The state of every parameter in their order; the settings are not part of it."""
        return dict(enumerate(map(self.state.get, self._parameters())))

    def load_state_dict(self, states):
        self.state.clear()
        for parameter, state in zip(self._parameters(), states.values(), strict=True):
            if state is not None:
                self.state[parameter] = {
                    name: value.to(parameter.device, copy=True) if torch.is_tensor(value) else value
                    for name, value in state.items()
                }

    def _parameters(self):
        return (parameter for group in self.param_groups for parameter in group["params"])


def _start(parameter, unit):
    """The state before the first step."""
    n_rows = parameter.shape[0] if parameter.ndim else 1
    smallest = 0.1 * (n_rows / max(parameter.numel(), 1)) ** 0.5
    size = max(smallest, float(_mean_square(parameter * unit)) ** 0.5)
    # On a GPU they are tensors, as a recorded epoch (`Replay`) has no other numbers that change.
    dtype = torch.float32 if parameter.device.type == "mps" else torch.float64  # which mps lacks
    step, square = map(number, torch.zeros(2, dtype=dtype, device=parameter.device))
    return {
        "step": step,
        "size": size,
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": square,
    }


def _mean_square(tensor):
    norm = number(torch.linalg.vector_norm(tensor))
    return norm * norm / max(tensor.numel(), 1)  # a power of a number that overflows is an error
