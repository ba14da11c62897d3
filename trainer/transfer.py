"""From this process to the device that trains, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def onto(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device.

    A GPU copies pinned memory in its own time. A copy of any other makes the host wait until everything that it has
    asked of the GPU so far is done, after which the GPU has nothing to do until the next is asked of it.
    """
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
