"""Files from which an interrupted fit is resumed: numpy arrays and JSON, no pickle."""

import hashlib
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import torch

from ._distributed import rank

SECONDS_BETWEEN = 30
_TREE = "tree"


class Checkpoint:
    """The file of one run of epochs.

    Parameters
    ----------
    folder : str or path
    stage : str
        Names the file.
    fingerprint : dict of str to str
        What the run depends on; a file with another fingerprint is refused.
    """

    def __init__(self, folder, stage, fingerprint):
        self.path = Path(folder) / f"{stage}.npz"
        self.fingerprint = fingerprint
        self.written = time.monotonic()

    def load(self):
        """The state last saved, or None where there is none.

        Raises
        ------
        ValueError
            If the file is damaged, or was written by another fit.
        """
        if not self.path.exists():
            return None
        try:
            saved = _read(self.path)
            theirs, state = saved["fingerprint"], saved["state"]
        except _DAMAGE as error:
            raise ValueError(
                f"the checkpoint {str(self.path)!r} is damaged ({error}). Delete it to start anew."
            ) from error
        names = self.fingerprint | theirs
        different = [name for name in names if self.fingerprint.get(name) != theirs.get(name)]
        if different:
            raise ValueError(
                f"the checkpoint {str(self.path)!r} belongs to another fit, which differs in "
                f"{', '.join(different)}. Give every fit a checkpoint_dir of its own, or delete "
                "the folder to start anew."
            )
        return state

    def is_due(self):
        """Whether the last file is so old that another one is worth its time."""
        return time.monotonic() - self.written >= SECONDS_BETWEEN

    def save(self, state):
        """Write aside and rename: a killed process leaves the old file whole.

        In a process group the first rank writes for all, as all are alike.
        """
        if rank() > 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        with aside.open("wb") as file:
            _write(file, {"fingerprint": self.fingerprint, "state": state})
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path)
        self.written = time.monotonic()


_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
)


def _write(file, state):
    arrays = []
    tree = json.dumps(_pack(state, arrays))
    np.savez(file, *arrays, **{_TREE: np.array(tree)})


def _read(path):
    with np.load(path, allow_pickle=False) as arrays:
        return _unpack(json.loads(str(arrays[_TREE])), arrays)


def _pack(value, arrays):
    """`value` as JSON, its tensors moved to `arrays`."""
    if torch.is_tensor(value):
        arrays.append(value.detach().cpu().numpy())
        return {"tensor": f"arr_{len(arrays) - 1}"}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(item, arrays) for item in value]}
    return value


def _unpack(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return torch.from_numpy(arrays[content])
    if kind == "dict":
        return {key: _unpack(item, arrays) for key, item in content}
    return {"list": list, "tuple": tuple}[kind](_unpack(item, arrays) for item in content)


def digest(*arrays):
    """A short digest of numpy arrays, of their shapes and types."""
    result = hashlib.sha256()
    for array in arrays:
        result.update(f"{array.shape}{array.dtype}".encode())
        data = array.astype("U") if array.dtype == object else array
        result.update(np.ascontiguousarray(data).view(np.uint8))
    return result.hexdigest()[:16]
