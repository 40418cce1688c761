"""Epochs on a GPU: launched kernel by kernel the first time, replayed from a recording later."""

import os

import torch

from ._adam import TensorAdam
from ._backbones import BACKBONES

_OLDEST = (2, 11)  # version of torch with which recordings were tried


def runner(module, optimizers):
    """What runs the epochs of a step: `Replay` where it can, else `AsTheyAre`.

    Modules of others may do what a recording misses, as drawing numbers in Python.
    """
    own = type(module) in BACKBONES.values() and all(
        isinstance(optimizer, TensorAdam) for optimizer in optimizers
    )
    device = next(module.parameters()).device if own else None
    return Replay(device) if own and _can_record(device) else AsTheyAre()


def _can_record(device):
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and torch.__version__ >= _OLDEST
        and not torch.is_anomaly_enabled()  # looks at every gradient
        and os.environ.get("SKLEARN_LTD_CUDA_GRAPHS") != "0"
    )


class AsTheyAre:
    """Runs ``step.epoch(*kind)``."""

    shares = True  # whether an epoch may go on with what the last one has computed

    def __call__(self, step, *kind):
        return step.epoch(*kind)


class Replay:
    """Runs ``step.epoch(*kind)``, from its second time on as a CUDA graph.

    An epoch is some hundred small kernels.  From Python it takes longer to launch them than a GPU
    takes to be done with them; all of a CUDA graph are launched at once.  It keeps the memory of
    the epoch for itself: where that is not there, epochs run as they are.

    An epoch may change tensors in place and replace those that ``step.carried`` names.  It draws
    the same random numbers as without a recording.  What it returns holds until the next epoch.

    Parameters
    ----------
    device : torch.device
    """

    shares = False  # a recording has to find all that it reads where it was

    def __init__(self, device):
        self.device = device
        self.begun = set()
        self.recordings = {}  # kind of epoch: a CUDA graph and what the epoch returns
        self.carried = {}  # the tensors that every recording reads at its start and leaves behind
        self.pool = self.stream = None  # one for all recordings, which run one after the other

    def __call__(self, step, *kind):
        with torch.cuda.device(self.device):
            if kind not in self.recordings and not (kind in self.begun and _has_room()):
                self.begun.add(kind)  # loads kernels, makes what is kept with the graph
                return step.epoch(*kind)
            if self.pool is None:
                self._start(step)
            self._hand_over(step)
            if kind not in self.recordings:
                self.recordings[kind] = self._record(step, kind)
            recording, results = self.recordings[kind]
            recording.replay()
            return results

    def _start(self, step):
        self.carried = {name: getattr(step, name).clone() for name in step.carried}
        self.pool, self.stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def _record(self, step, kind):
        """Nothing is computed meanwhile."""
        recording = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            recording, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
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


def _has_room():
    """Whether as much memory again is free, twice."""
    free, _ = torch.cuda.mem_get_info()
    return 2 * torch.cuda.memory_reserved() < free
