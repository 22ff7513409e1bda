"""Full training of what does not fit one card: each process holds a part of weights, gradients and optimiser (FSDP).

A layer's weights are gathered when it computes and given back afterwards.
Checkpoints hold whole tensors under their usual names: they load in any number
of processes, sharded or not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from suture.training import processes


def is_sharded(module: torch.nn.Module) -> bool:
    """Tells whether a module's weights are shared out."""
    return isinstance(module, FSDPModule)


def class_of(module: torch.nn.Module) -> type:
    """Returns the class that a sharded module had: sharding puts one of its own before it."""
    found: type = type(module).__mro__[2]
    return found


def shard(module: torch.nn.Module) -> None:
    """Shares out the weights of a model, in place: layer by layer where it has lists of layers, then what is left.

    Each process must hold the same whole model, on its processor; the parts
    are moved to its card, if it has one.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (processes.count(),))
    for layers in [one for one in module.modules() if isinstance(one, torch.nn.ModuleList)]:
        for layer in layers:
            if any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


def whole(state: Any) -> Any:
    """Returns a state with whole tensors in place of parts; all processes must ask.

    Only the first gets them; the others get an empty one for each, so that no
    more than one is held there at a time.
    """

    def gather(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        gathered = value.full_tensor()
        return gathered.cpu() if processes.is_first() else torch.empty(0)

    return tree_map(gather, state)


def whole_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns a model's state as :func:`whole` does; weights that are one under two names stay one."""
    owners = {name: id(parameter) for name, parameter in module.named_parameters(remove_duplicate=False)}
    gathered: dict[int, torch.Tensor] = {}
    state = {}
    for name, value in module.state_dict().items():
        owner = owners.get(name, id(value))
        if owner not in gathered:
            gathered[owner] = whole(value)
        state[name] = gathered[owner]
    return state


def load_weights(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Takes each process's part of whole tensors.

    Raises:
        RuntimeError: names or shapes are not those of the model.
    """
    parts = {name: _like(state[name], own) if name in state else own for name, own in module.state_dict().items()}
    if missing := sorted(set(parts) - set(state)):
        raise RuntimeError(f"{len(missing)} tensors are not in the checkpoint: {missing[0]}, ...")
    module.load_state_dict(parts)


def deal_out(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Takes each process's part of a whole optimiser state; for ``register_load_state_dict_pre_hook``."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    owners = dict(zip(numbers, parameters, strict=True))
    dealt = {
        number: {
            name: _like(value, owners[number]) if torch.is_tensor(value) and value.dim() else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": dealt}


def _like(tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Returns the part of a whole tensor that this process has of another of its shape."""
    if not isinstance(own, DTensor):
        return tensor
    moved = tensor.to(own.device)
    # Each process has all of it: nothing is sent.
    return distribute_tensor(moved, own.device_mesh, own.placements, src_data_rank=None)
