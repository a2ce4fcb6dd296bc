"""Adam without torch's compiler does what torch's own does."""

import subprocess
import sys

import pytest
import torch

from trainables.adam import Adam, AdamW


def trained(kind, **options):
    """Weights after four steps, the last one by an optimizer that goes on from the first one's state."""
    module = torch.nn.Linear(3, 3)
    with torch.no_grad():
        module.weight.copy_(torch.arange(9.0).reshape(3, 3) / 9)
        module.bias.zero_()
    optimizer = kind(module.parameters(), lr=0.1, **options)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    for step in range(4):
        if step == 3:
            state, optimizer = optimizer.state_dict(), kind(module.parameters(), lr=0.1, **options)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        module(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
        schedule.step()
    return module.weight.detach()


@pytest.mark.parametrize(
    ("ours", "theirs", "options"), [(Adam, torch.optim.Adam, {}), (AdamW, torch.optim.AdamW, {"weight_decay": 0.1})]
)
def test_weights_are_those_of_torch(ours, theirs, options):
    assert trained(ours, **options).equal(trained(theirs, **options))


def test_a_parameter_stays_one_and_steps_leave_no_graph():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = AdamW([weight], lr=0.1)
    (weight**2).sum().backward()
    optimizer.step()
    assert weight.is_leaf
    assert weight.grad is not None


LOADED = """
import sys, torch
from trainables.adam import Adam, AdamW

for kind in (Adam, AdamW):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = kind([weight], lr=0.1)
    (weight**2).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_the_compiler_is_not_loaded():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
