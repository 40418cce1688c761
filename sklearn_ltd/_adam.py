"""The optimizer: Adam with steps in proportion to each tensor.

Of our own also because any optimizer of `torch.optim` imports torch's compiler, a second or more.
"""

import torch


class TensorAdam:
    """Adam with one second moment and one step size per tensor, and an L2 penalty.

    Adam divides each entry of the gradient by the entry's own size, so that the weights of a rare
    word move as fast as those of a frequent one.  Here all entries of a tensor are divided by their
    root mean square (Adam-mini of Zhang et al., each tensor being a block), and the step is
    proportional to the tensor's size (LARS of You et al., but of the size at the start).

    Parameters
    ----------
    parameters : iterable of torch.Tensor
    lr : float
        Root mean square of the first step in units of that of the tensor; of 0.1 where the tensor
        starts at zero, as biases do.
    weight_decay : float, default=0.0

    Attributes
    ----------
    param_groups : list of dict
        `params` and their settings, as in torch.
    state : dict
        Parameter to the number of steps, the two moments, named as in torch, and `size`.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    Zhang et al., "Adam-mini: Use Fewer Learning Rates To Gain More", ICLR 2025.
    You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888.
    """

    size_of_zero = 0.1

    def __init__(self, parameters, lr, weight_decay=0.0):
        self.defaults = {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": weight_decay}
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
                    self._step(parameter, parameter.grad, **group)

    def _step(self, parameter, gradient, *, lr, betas, eps, weight_decay, params):
        state = self.state.get(parameter)
        if state is None:
            state = self.state[parameter] = self._start(parameter)
        state["step"] += 1
        share1, share2 = (1 - beta ** state["step"] for beta in betas)
        if weight_decay:
            gradient = gradient.add(parameter, alpha=weight_decay)
        mean = state["exp_avg"].lerp_(gradient, 1 - betas[0])
        square = state["exp_avg_sq"].lerp_(_mean_square(gradient), 1 - betas[1])
        root = (square.sqrt() / share2**0.5).add_(eps)
        parameter.addcmul_(mean, state["size"] / root, value=-lr / share1)

    def _start(self, parameter):
        size = _mean_square(parameter).sqrt()
        return {
            "step": 0,
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(size),
            "size": torch.where(size > 0, size, self.size_of_zero),
        }

    def state_dict(self):
        """The state of every parameter in their order; the settings are not part of it."""
        return dict(enumerate(map(self.state.get, self._parameters())))

    def load_state_dict(self, states):
        self.state.clear()
        for parameter, state in zip(self._parameters(), states.values(), strict=True):
            if state is not None:
                self.state[parameter] = {
                    name: value.to(parameter, copy=True) if torch.is_tensor(value) else value
                    for name, value in state.items()
                }

    def _parameters(self):
        return (parameter for group in self.param_groups for parameter in group["params"])


def _mean_square(tensor):
    return torch.linalg.vector_norm(tensor).square() / tensor.numel()
