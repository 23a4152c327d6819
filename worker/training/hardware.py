"""What a training runs on: one CPU, one GPU, or several that torch's own launcher starts."""

from __future__ import annotations

import atexit
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(hours=1)  # others wait while the first one measures


@dataclass(frozen=True)
class Hardware:
    """A device, and the place of this process among those that train together.

    ``half`` computes in bfloat16 where that is safe (automatic mixed precision).
    """

    device: torch.device
    rank: int = 0
    world: int = 1
    half: bool = False

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0

    def take(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors on the device; copies to a GPU run beside its work, out of pinned memory."""
        if self.device.type != "cuda":
            return tensors
        return tuple(t.pin_memory().to(self.device, non_blocking=True) for t in tensors)

    def precision(self) -> AbstractContextManager[object]:
        """Mixed precision for a forward pass, where it is asked for."""
        if not self.half:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def begin_alike(self, network: nn.Module) -> None:
        """The first process's weights everywhere."""
        if self.world > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def share_gradients(self, network: nn.Module) -> None:
        """The mean of all processes' gradients in each of them."""
        if self.world > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.world

    def agreed(self, value: float) -> float:
        """The first process's number: clocks differ, and all must take as many steps."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, src=0)
        return float(told)


def find_hardware() -> Hardware:
    """The GPU where there is one, else the CPU; joins the others that ``torchrun`` has started."""
    cuda = torch.cuda.is_available()
    rank, world, local = 0, 1, 0
    if distributed.is_available() and distributed.is_torchelastic_launched():
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
            # Else a thread of gloo may abort a process that ends after its neighbour has gone.
            atexit.register(distributed.destroy_process_group)
        rank, world = distributed.get_rank(), distributed.get_world_size()
        local = distributed.get_node_local_rank(fallback_rank=0)
    if not cuda:
        return Hardware(torch.device("cpu"), rank, world)
    torch.cuda.set_device(local)
    half = torch.cuda.is_bf16_supported()
    return Hardware(torch.device("cuda", local), rank, world, half=half)
