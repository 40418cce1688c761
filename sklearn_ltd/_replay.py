"""Epochs on a GPU: launched kernel by kernel the first time, replayed from a recording later."""

import torch

from ._adam import TensorAdam
from ._backbones import EdgeIndexModule

_TESTED = (2, 11)  # version of torch from which on recordings are made


def runner(module, optimizers):
    """What runs the epochs of a step: `Replay` where it can, else `AsTheyAre`.

    Modules of others may do what a recording misses, as drawing numbers in Python.
    """
    own = not isinstance(module, EdgeIndexModule) and all(
        isinstance(optimizer, TensorAdam) for optimizer in optimizers
    )
    return Replay() if own and _can_record(module) else AsTheyAre()


def _can_record(module):
    on_gpu = all(parameter.is_cuda for parameter in module.parameters())
    return on_gpu and torch.version.hip is None and torch.__version__ >= _TESTED


class AsTheyAre:
    """Runs ``step.epoch(*kind)``."""

    shares = True  # whether an epoch may go on with what the last one has computed

    def __call__(self, step, *kind):
        return step.epoch(*kind)


class Replay:
    """Runs ``step.epoch(*kind)``, from its second time on as a CUDA graph.

    An epoch is some hundred small kernels.  From Python it takes longer to launch them than a GPU
    takes to be done with them; all of a CUDA graph are launched at once.  It keeps the memory of
    the epoch for itself: where that is not there, nothing is recorded.

    An epoch may change tensors in place and replace those that ``step.carried`` names.  It draws
    the same random numbers as without a recording.  What it returns holds until the next epoch.
    """

    shares = False

    def __init__(self):
        self.begun = set()
        self.recordings = {}  # kind of epoch: a CUDA graph and what the epoch returns
        self.carried = {}  # the tensors that every recording reads at its start and leaves behind
        self.pool = self.records = None

    def __call__(self, step, *kind):
        if kind not in self.begun:  # loads kernels, makes what is kept with the graph
            self.begun.add(kind)
            return step.epoch(*kind)
        if self.records is None:
            self._start(step)
        if not self.records:
            return step.epoch(*kind)
        self._hand_over(step)
        if kind not in self.recordings:
            self.recordings[kind] = self._record(step, kind)
        recording, results = self.recordings[kind]
        recording.replay()
        return results

    def _start(self, step):
        free, _ = torch.cuda.mem_get_info()
        self.records = 2 * torch.cuda.memory_reserved() < free
        self.pool = torch.cuda.graph_pool_handle()  # one for all: they run one after the other
        if self.records:
            self.carried = {name: getattr(step, name).clone() for name in step.carried}

    def _record(self, step, kind):
        """Nothing is computed meanwhile."""
        recording = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # torch's own stays on the first device that was used
        with torch.cuda.graph(
            recording, pool=self.pool, stream=stream, capture_error_mode="thread_local"
        ):
            results = step.epoch(*kind)
            for name, tensor in self.carried.items():
                tensor.copy_(getattr(step, name))
        for name, tensor in self.carried.items():
            setattr(step, name, tensor)
        return recording, results

    def _hand_over(self, step):
        """Put what the last epoch left behind where the recordings read it."""
        for name, tensor in self.carried.items():
            left = getattr(step, name)
            if left is not tensor:
                tensor.copy_(left)
                setattr(step, name, tensor)
