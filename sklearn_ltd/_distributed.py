"""Data-parallel training: what the processes of a torch process group share.

Every process, called a rank, holds the whole model, works on its share of each mini-batch and
averages the gradients with the others.  Without a process group there is one rank.
"""

import torch
import torch.distributed as dist


def n_ranks():
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank():
    return dist.get_rank() if n_ranks() > 1 else 0


def own_share(items):
    """Every n-th item from this rank's on; all of them where there are fewer than ranks."""
    return items if len(items) < n_ranks() else items[rank() :: n_ranks()]


def average(tensors):
    """Replace tensors by their means over the ranks, in one message."""
    if n_ranks() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= n_ranks()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.view_as(tensor))


def add_up(tensor):
    """Replace a tensor by its sum over the ranks."""
    if n_ranks() > 1:
        dist.all_reduce(tensor)
