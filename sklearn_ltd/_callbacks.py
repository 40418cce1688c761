"""scikit-learn's callbacks around the epochs of a fit."""

from ._torch import module_state


class FitTasks:
    """The task tree of one fit: a context manager whose subtasks are the epochs.

    Parameters
    ----------
    estimator : BaseNodeClassifier
    module : torch.nn.Module
        The network that is trained, for callbacks that predict with it.
    graph, y : Graph and ndarray
        The labelled nodes and their labels, for callbacks that score.
    """

    def __init__(self, estimator, module, graph, y):
        self.estimator = estimator
        self.module = module
        self.data = {"estimator": estimator, "X": graph, "y": y}

    def __enter__(self):
        self.fit = self.estimator._init_callback_context(max_subtasks=self.estimator.max_iter)
        self.fit.call_on_fit_task_begin(**self.data)
        return self

    def __exit__(self, *error):
        self.fit.call_on_fit_task_end(**self.data)

    def begin_epoch(self):
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.data)

    def end_epoch(self):
        """Return whether a callback asks to stop."""
        return self.epoch.call_on_fit_task_end(
            **self.data,
            reconstruction_attributes=lambda: {"state_": module_state(self.module)},
        )
