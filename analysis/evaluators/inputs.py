"""Inputs that nothing was fitted to: test examples translated, with noise or corrupted, or those of another data set.

Corruptions are some of those of Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations" (ICLR 2019, arXiv 1903.12261), with strengths to choose: noise and impulse noise, blur,
contrast.

Shape letters: N examples.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from analysis.evaluators.evaluator import EvaluationData
from zoo.data import Dataset, Examples, load_dataset
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store
from zoo.words import counted

SEED = 0
# What images are analyzed on beside the test examples, unless somebody says otherwise; and what is no image.
MOVED, NOISY = "translation-1", "noise-0.1"
ALLOWED = "translation-K, noise-S, impulse-P, blur-S, contrast-C"
NAMED = re.compile(r"([a-z]+)-(\d+(?:\.\d+)?)")
# A Gaussian is cut off after so many deviations.
CUT_OFF = 3.0


def usual_inputs(dataset: Dataset) -> tuple[str, ...]:
    """The other inputs that networks of a data set are analyzed on where nobody says which."""
    is_image = len(dataset.input_shape) == 3 and dataset.input_shape[-1] > 1
    return (MOVED,) if is_image else (NOISY,)


def in_words(inputs: str) -> tuple[str, str]:
    """What other inputs are, for headings and at length."""
    name, number = _named(inputs)
    if name == "translation":
        pixels = counted(int(number), "pixel")
        told = f"the test images moved to the right by {pixels}, their left edge repeated"
        return f"images moved by {pixels}", told
    if name == "noise":
        told = f"the test examples with Gaussian noise of {number} times their standard deviation, drawn once"
        return f"inputs with noise of {number} SD", told
    if name == "impulse":
        share = f"{100 * float(number):g} %"
        return f"inputs with {share} impulses", f"the test examples, of whose numbers {share} are the least or largest"
    if name == "blur":
        return f"images blurred by {number} pixels", f"the test images blurred by a Gaussian of {number} pixels"
    if name == "contrast":
        told = f"the test examples with {number} times their contrast, each about its mean"
        return f"inputs with contrast {number}", told
    return inputs, f"test examples of the data set {inputs}"


def _named(inputs: str) -> tuple[str, str]:
    """Which corruption, and how strong it is; empty of what is none."""
    match = NAMED.fullmatch(inputs)
    return (match[1], match[2]) if match and match[1] in CORRUPTIONS else ("", "")


def shifted(inputs: str, dataset: Dataset, test: Examples, store: Store | None = None) -> EvaluationData:
    """Other inputs in place of the test examples.

    Args:
        inputs: "translation-K": images moved to the right by K pixels, their left edge repeated. "noise-S": Gaussian
            noise is added, of S times the standard deviation of the test examples. "impulse-P": a share P of the
            numbers becomes the least or the largest. "blur-S": images blurred by a Gaussian of S pixels.
            "contrast-C": C times the contrast. Otherwise the name of a data set with inputs of the same shape, or
            ``module:attribute``: its test examples.
        dataset: The data set that the networks were trained on.
        test: Its test examples, or some of them.
        store: Where other data sets may lie.

    Raises:
        ValueError: There are no such inputs for this data set; the message says what is allowed.
    """
    name, number = _named(inputs)
    if name:
        values = CORRUPTIONS[name](test.values, number, inputs)
        if test.values.dtype == torch.uint8:
            values = values.round().clamp(0, int(dataset.train.values.max()))  # not all use a byte's whole range
        moved = Examples(values.to(test.values.dtype), test.targets, test.scale)
        return EvaluationData(dataset, moved, inputs, words=in_words(inputs))
    try:
        other = load_dataset(inputs) if store is None else find_dataset(store, inputs)
    except ValueError as error:
        raise ValueError(f"inputs {inputs!r}: allowed are {ALLOWED} and data sets; {error}") from error
    if other.input_shape != dataset.input_shape:
        raise ValueError(
            f"inputs {inputs!r} have shape {other.input_shape}; networks of this zoo take {dataset.input_shape}"
        )
    return EvaluationData(dataset, other.test.first(len(test)), inputs, labeled=False, words=in_words(inputs))


def _translated(values: Tensor, number: str, inputs: str) -> Tensor:
    if not (_are_images(values) and number.isdecimal() and 0 < int(number) < values.shape[-1]):
        raise ValueError(
            f"inputs {inputs!r} need images more than {number} pixels wide, and 1 pixel at least to move them by; "
            f"this data set's inputs have shape {tuple(values.shape[1:])}"
        )
    return pad(values[..., : -int(number)].float(), (int(number), 0, 0, 0), mode="replicate")


def _noisy(values: Tensor, number: str, inputs: str) -> Tensor:  # noqa: ARG001
    values = values.float()
    return values + float(number) * values.std() * torch.randn(values.shape, generator=_generator())


def _with_impulses(values: Tensor, number: str, inputs: str) -> Tensor:
    if not 0 < float(number) <= 1:
        raise ValueError(f"inputs {inputs!r}: allowed are shares more than 0, at most 1, as in impulse-0.1")
    values, drawn = values.float(), torch.rand(values.shape, generator=_generator())
    impulses = torch.where(drawn < float(number) / 2, values.min(), values.max())
    return torch.where(drawn < float(number), impulses, values)


def _blurred(values: Tensor, number: str, inputs: str) -> Tensor:
    reach = math.ceil(CUT_OFF * float(number))
    if not (_are_images(values) and 0 < reach < min(values.shape[-2:])):
        raise ValueError(
            f"inputs {inputs!r} need images of more than {reach} pixels, and more than 0 to blur them by; this data "
            f"set's inputs have shape {tuple(values.shape[1:])}"
        )
    weights = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * float(number) ** 2))
    weights /= weights.sum()
    padded = pad(values.float(), (reach, reach, reach, reach), mode="replicate")
    channels = padded.flatten(0, 1)[:, None]
    for kernel in (weights[:, None], weights[None]):
        channels = conv2d(channels, kernel[None, None])
    return channels.reshape(values.shape)


def _with_contrast(values: Tensor, number: str, inputs: str) -> Tensor:  # noqa: ARG001
    mean = values.float().flatten(1).mean(1).reshape(-1, *[1] * (values.ndim - 1))
    return mean + float(number) * (values.float() - mean)


def _are_images(values: Tensor) -> bool:
    return values.ndim == 4


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


CORRUPTIONS = {
    "translation": _translated,
    "noise": _noisy,
    "impulse": _with_impulses,
    "blur": _blurred,
    "contrast": _with_contrast,
}
