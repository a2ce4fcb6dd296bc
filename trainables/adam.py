"""Adam and AdamW of torch, without torch's compiler.

The classes of ``torch.optim`` load ``torch._dynamo`` when they are made and in every step, to mark places that must not
be compiled. Nothing is compiled here, and loading it takes each process 1.5 s and 160 MB.
"""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer


class _Uncompiled(Optimizer):
    """The methods of torch's optimizers as they are written, without the marks."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


class Adam(_Uncompiled, torch.optim.Adam):
    """``torch.optim.Adam``, bit by bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class AdamW(_Uncompiled, torch.optim.AdamW):
    """``torch.optim.AdamW``, bit by bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
