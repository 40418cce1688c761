"""Adam, without torch's compiler: an optimizer of `torch.optim` imports that, a second or more."""

import torch


class Adam:
    """Adam with an L2 penalty (Kingma & Ba, ICLR 2015); the numbers of ``torch.optim.Adam``.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
    lr : float
    weight_decay : float, default=0.0

    Attributes
    ----------
    param_groups : list of dict
        `params` and their settings, as in torch.
    state : dict
        Parameter to the number of steps and the two moments, as in torch.
    """

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
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            state = self.state[parameter] = {"step": 0} | moments
        state["step"] += 1
        share1, share2 = (1 - beta ** state["step"] for beta in betas)
        if weight_decay:
            gradient = gradient.add(parameter, alpha=weight_decay)
        mean = state["exp_avg"].lerp_(gradient, 1 - betas[0])
        square = state["exp_avg_sq"].mul_(betas[1])
        square.addcmul_(gradient, gradient, value=1 - betas[1])
        root = (square.sqrt() / share2**0.5).add_(eps)
        parameter.addcdiv_(mean, root, value=-lr / share1)

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
