"""Devices, seeds and the way between numpy and torch."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

# Torch reads it at its first tensor: large ones get large pages, as those of numpy do, and an
# epoch spends less time on waiting for memory, which each new tensor is given page by page.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_SMALL = 500_000
_BLOCK = 2**18  # entries
_BITS = 10  # of a probability
_FEW = 16  # columns, as many numbers as a processor takes at once


def _renew_lock():
    """A forked process has one thread: whoever held the lock is not there to let it go."""
    global _global_state
    _global_state = threading.RLock()


_renew_lock()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def resolve_device(device):
    """A `torch.device` for "auto", "cpu", "cuda", "cuda:1" or "mps".

    "auto" is the first CUDA device if there is one, else the CPU.

    Raises
    ------
    ValueError
        If the name is unknown or the device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"unknown device {device!r}. Pass 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    if not _is_available(resolved):
        raise ValueError(
            f"device {device!r} is not available on this machine (torch {torch.__version__}, "
            f"{torch.cuda.device_count()} CUDA devices). Pass device='auto' or 'cpu'."
        )
    return resolved


def prediction_device(device):
    """Like `resolve_device`, but the CPU where the device is missing: models travel."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def _is_available(device):
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"


def _on_cpu(x):
    return x.device.type == "cpu"


def number(x):
    """A tensor of one entry as a number, several times faster to compute with.

    On a GPU it stays a tensor: an epoch does not wait for it.
    """
    return x.item() if _on_cpu(x) else x


def class_softmax(logits):
    """``logits.softmax(1)``, on a CPU along what `by_class` gives, ten times faster."""
    return _over_classes(torch.softmax, logits)


def class_log_softmax(logits):
    """``logits.log_softmax(1)``, see `class_softmax`."""
    return _over_classes(torch.log_softmax, logits)


def by_class(logits):
    """The same logits, on a CPU with each class in one piece of memory.

    There torch takes the sums over a short last dimension one by one.
    """
    return logits.t().contiguous().t() if _on_cpu(logits) else logits


def _over_classes(function, logits):
    if not _on_cpu(logits):
        return function(logits, 1)
    return function(by_class(logits).t(), 0).t()


def block_size(x, width):
    """How many rows of `width` entries stay in a CPU's cache; elsewhere as many as `x` can have."""
    return max(1, _BLOCK // max(1, width) if _on_cpu(x) else x.numel())


@contextmanager
def seeded(seed, device):
    """Draw from `seed`, in float32 and with gradients, whatever the caller has set.

    The caller's generators stay untouched.

    Torch has one generator per device, so that fits in several threads take turns.
    """
    devices = [device] if device.type == "cuda" else []
    with _global_state, _usual_modes(), torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def generator_states(device):
    """States of the generators that `seeded` seeds, by the type of their device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generator_states(states, device):
    """Put `generator_states` back."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def _usual_modes():
    """Those of a new process."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False):  # gradients are on again, too
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def few_threads(size):
    """One torch thread inside the block for small work, which more threads only slow down.

    They wait for each other longer than they work, above all where other processes run; and
    sums come out the same bit for bit whatever the number of cores.

    Parameters
    ----------
    size : int
        Numbers stored for the graph: edges and features.
    """
    if size >= _SMALL:
        yield
        return
    # A thread has a number of its own, and takes over the process's at its start.  Torch sets
    # both at once, so that a thread that began inside another one's block would leave its 1.
    with _global_state:
        own, common = torch.get_num_threads(), _in_new_thread(torch.get_num_threads)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(own)
            if own != common:
                _in_new_thread(torch.set_num_threads, common)


def _in_new_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


@contextmanager
def memory_advice():
    """Tell in an error of a GPU that is full what to do."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        error.add_note(
            "The graph and its gradients don't fit into the device's memory. Train on parts of "
            "it (batch_size=...), guess the temperatures (LTDNodeClassifier with scalable=True), "
            "lower hidden_dim or n_layers, or pass device='cpu'."
        )
        raise


def dropout(x, p, training):
    """``torch.nn.functional.dropout``, many times faster on a CPU.

    There torch draws a number for every entry; here `p` is rounded to a multiple of 2^-10, and an
    entry takes at most ten random bits, a single one if `p` is 0.5.
    """
    if not training or p == 0 or not _on_cpu(x):
        return torch.nn.functional.dropout(x, p, training)
    factors = _draw_factors(x, p)
    return x * factors if x.requires_grad else factors.mul_(x)  # features: no third copy


def relu_dropout(x, p, training):
    """``dropout(relu(x), p, training)``, for finite `x`.

    On a CPU the two are one product, and so are their first and second derivative.
    """
    if not training or p == 0 or not _on_cpu(x):
        return dropout(x.relu(), p, training)
    return x * _draw_factors(x, p, relu=True)


def relu_dropout_factors(x, p, training):
    """What `relu_dropout` multiplies every entry of `x` with."""
    if training and p and _on_cpu(x):
        return _draw_factors(x, p, relu=True)
    return dropout((x > 0).to(x.dtype), p, training)


def _draw_factors(x, p, relu=False):
    """What dropout multiplies every entry of `x` with; with `relu` 0 where it is not positive.

    In blocks, which stay in the cache.  By numpy, as torch takes ten times as long to compare, and
    from bytes, as it reads booleans slowly.
    """
    parts = max(1, round((1 - p) * 2**_BITS))
    factors = torch.empty(x.shape, dtype=x.dtype)
    for block, entries in zip(factors.view(-1).split(_BLOCK), x.detach().reshape(-1).split(_BLOCK)):
        kept = _draw_bits(len(block), parts)
        if relu:
            kept &= (entries > 0).numpy() if x.dtype == torch.bfloat16 else entries.numpy() > 0
        block.copy_(torch.from_numpy(kept)).mul_(2**_BITS / parts)
    return factors


def _draw_bits(n, parts):
    """Bytes, each 1 with a probability of ``parts / 2^_BITS`` and 0 otherwise.

    The probability is read from its last binary digit to its first: where another random bit is
    joined by "or", a probability q becomes (1 + q) / 2, by "and" q / 2.
    """
    if parts == 2**_BITS:
        return np.ones(n, np.uint8)
    digits = f"{parts:0{_BITS}b}".rstrip("0")[:-1]
    words = torch.empty(1 + len(digits), -(-n // 64), dtype=torch.int64).random_(-(2**63), None)
    bits, *others = words.numpy()
    for digit, other in zip(reversed(digits), others):
        bits = bits | other if digit == "1" else bits & other
    return np.unpackbits(bits.view(np.uint8), count=n)


def order_statistics(x, ranks):
    """``x.sort().values[rank]`` for every one of the `ranks`; `x` has one dimension."""
    ordered = torch.from_numpy(np.partition(x.numpy(), ranks)) if _on_cpu(x) else x.sort().values
    return [ordered[rank] for rank in ranks]


def store_by_columns(weight):
    """Lay weights out in memory the way that products with sparse features read them.

    These are with the transpose, ``x @ weight.t()``, and so is the gradient: nothing has to be
    copied in a step.  Dense products take up to twice as long that way.  With few outputs, the
    weights stay as they are: there is little to copy.
    """
    if len(weight) >= _FEW:
        weight.data = weight.data.t().contiguous().t()


def to_numpy(tensor):
    """A numpy copy on the CPU."""
    return np.array(tensor.detach().cpu().numpy())


def module_state(module):
    """Parameters and buffers as a dict of numpy arrays."""
    return {name: to_numpy(tensor) for name, tensor in module.state_dict().items()}


def load_module_state(module, state):
    """Put a dict of numpy arrays, possibly read-only, into a module."""
    module.load_state_dict({name: torch.tensor(np.array(a)) for name, a in state.items()})
    return module
