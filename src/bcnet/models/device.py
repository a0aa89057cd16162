"""The device that computes."""

import torch


def pick_device() -> torch.device:
    """The GPU of this process, or the CPU where there is none.

    On a CPU, numbers below 1e-38 become zero from then on: softmax makes many of them, and with them the attention of
    the non-local blocks is up to eight times slower.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    torch.set_flush_denormal(True)
    return torch.device("cpu")
