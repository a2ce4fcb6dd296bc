"""Gradients of examples in factors, against loops of automatic differentiation; and the rules in closed form."""

import numpy as np
import pytest
import torch
from architectures import random_weights, small_net

from trainables.aggregators.gradients import GradientSource
from trainables.aggregators.rules import KEPT_SHARE, ROBUST_EXPONENT, RULES, TRIMMED_SHARE
from zoo.architecture import cnn, mlp
from zoo.architecture.builders import cnn_strided
from zoo.data.task import Task

MEMBERS, EXAMPLES, CLASSES = 3, 7, 4
NETWORKS = {
    "mlp": mlp((1, 4, 4), (5, 6), CLASSES, activation="tanh"),
    "no biases": mlp((1, 4, 4), (5,), CLASSES, bias=False),
    "linear": mlp((1, 4, 4), (), CLASSES),
    "cnn": cnn((1, 6, 6), (3, 4), CLASSES),
    "strided cnn": cnn_strided((2, 8, 8), (3, 4), CLASSES, activation="gelu", dense=(5,)),
}


def drawn(name: str, examples: int = EXAMPLES, loss: str = "softmax"):
    architecture, generator = NETWORKS[name], torch.Generator().manual_seed(0)
    task = Task(loss, CLASSES)
    inputs = torch.rand(MEMBERS, examples, *architecture.input_shape, generator=generator)
    targets = torch.randint(CLASSES, (MEMBERS, examples), generator=generator)
    if loss == "squared":
        targets = torch.randn(MEMBERS, examples, CLASSES, generator=generator)
    weights_MP = random_weights(architecture, MEMBERS, seed=1)
    return (
        architecture,
        task,
        weights_MP,
        inputs,
        targets,
        GradientSource(architecture, task)(weights_MP, inputs, targets),
    )


def by_loop(architecture, task, weights_MP, inputs, targets):
    """One network and one example at a time: losses ``[M, B]`` and gradients ``[M, B, P]``."""
    losses, gradients = [], []
    for member, weights_P in enumerate(weights_MP):
        for example in range(inputs.shape[1]):
            leaf_P = weights_P.clone().requires_grad_()
            outputs = architecture.logits(leaf_P[None], inputs[member, example][None])[0]
            loss = task.losses()(outputs, targets[member, example][None]).sum()
            losses.append(loss.detach())
            gradients.append(torch.autograd.grad(loss, leaf_P)[0])
    shape = inputs.shape[:2]
    return torch.stack(losses).unflatten(0, shape), torch.stack(gradients).unflatten(0, shape)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("loss", ["softmax", "squared"])
def test_gradients_are_those_of_single_examples(name, loss):
    *given, found = drawn(name, loss=loss)
    losses_MB, rows_MBP = by_loop(*given)
    torch.testing.assert_close(found.loss_MB, losses_MB)
    torch.testing.assert_close(found.rows(), rows_MBP)
    torch.testing.assert_close(found.mean(), rows_MBP.mean(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_torch_func_on_an_ordinary_module(name):
    architecture, task, weights_MP, inputs, targets, found = drawn(name)
    for member, weights_P in enumerate(weights_MP):
        module = architecture.to_module(weights_P)

        def loss(parameters, x, target, module=module):
            return task.losses()(torch.func.functional_call(module, parameters, x[None]), target[None])[0]

        per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
        by_name = per_example(dict(module.named_parameters()), inputs[member], targets[member])
        torch.testing.assert_close(found.rows()[member], architecture.flatten(by_name))


@pytest.mark.parametrize("name", NETWORKS)
def test_sums_norms_and_products_are_those_of_the_gradients_written_out(name):
    *_, found = drawn(name)
    generator = torch.Generator().manual_seed(2)
    for of in found.layers:
        rows_MBHD = of.rows()
        weights_MHB = torch.rand(MEMBERS, of.layer.outputs, EXAMPLES, generator=generator)
        torch.testing.assert_close(of.weighted(weights_MHB), torch.einsum("mhb,mbhd->mhd", weights_MHB, rows_MBHD))
        torch.testing.assert_close(of.squares(), rows_MBHD.square().sum(3).mT)
        direction_MHD = torch.randn(MEMBERS, of.layer.outputs, of.layer.width, generator=generator)
        torch.testing.assert_close(of.along(direction_MHD), torch.einsum("mbhd,mhd->mhb", rows_MBHD, direction_MHD))


def test_members_may_share_their_examples():
    architecture, task, weights_MP, inputs, targets, _ = drawn("mlp")
    same = targets[:1].expand(MEMBERS, -1)
    source = GradientSource(architecture, task)
    shared = source(weights_MP, inputs[0], same)
    torch.testing.assert_close(
        shared.rows(), source(weights_MP, inputs[:1].expand(MEMBERS, -1, -1, -1, -1), same).rows()
    )


def test_batch_norm_is_refused():
    with pytest.raises(ValueError, match="networks without normalization"):
        GradientSource(small_net(), Task("softmax", 10))


@pytest.mark.parametrize("examples", [7, 8])
def test_rules_are_what_they_say_coordinate_by_coordinate(examples):
    *_, found = drawn("mlp", examples)
    rows = found.rows().numpy()
    cut = int(TRIMMED_SHARE * examples)
    kept = np.argsort(found.loss_MB.numpy(), axis=1)[:, : int(np.ceil(KEPT_SHARE * examples))]
    norms = np.linalg.norm(rows, axis=2, keepdims=True)
    # As torch has it, the lower of the two in the middle.
    limit = np.sort(norms, axis=1)[:, (examples - 1) // 2][:, None]
    expected = {
        "mean": rows.mean(1),
        "median": np.median(rows, axis=1),
        "trimmed mean": np.sort(rows, axis=1)[:, cut : examples - cut].mean(1),
        "sign vote": np.sign(np.sign(rows).sum(1)),
        "clipped mean": (rows * np.minimum(1, limit / norms)).mean(1),
        "small losses": np.take_along_axis(rows, kept[..., None], 1).mean(1),
        # Of (1 - p^q) / q the derivative is that of the loss -log p, times p^q.
        "robust loss": (rows * np.exp(-ROBUST_EXPONENT * found.loss_MB.numpy())[..., None]).mean(1),
    }
    assert set(expected) == set(RULES)
    for name, rule in RULES.items():
        np.testing.assert_allclose(rule(found).numpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
