"""Inputs that nothing was fitted to: test examples translated or with noise, or those of another data set.

Shape letters: N examples.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn.functional import pad

from analysis.evaluators.evaluator import EvaluationData
from zoo.data import Dataset, Examples, load_dataset
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store
from zoo.words import counted

TRANSLATION, NOISE = re.compile(r"translation-(\d+)"), re.compile(r"noise-(\d+(?:\.\d+)?)")
SEED = 0
WHITE = 255
# What images are analyzed on beside the test examples, unless somebody says otherwise; and what is no image.
MOVED, NOISY = "translation-1", "noise-0.1"


def usual_inputs(dataset: Dataset) -> tuple[str, ...]:
    """The other inputs that networks of a data set are analyzed on where nobody says which."""
    is_image = len(dataset.input_shape) == 3 and dataset.input_shape[-1] > 1
    return (MOVED,) if is_image else (NOISY,)


def in_words(inputs: str) -> tuple[str, str]:
    """What other inputs are, for headings and at length."""
    if match := TRANSLATION.fullmatch(inputs):
        pixels = counted(int(match[1]), "pixel")
        told = f"the test images moved to the right by {pixels}, their left edge repeated"
        return f"images moved by {pixels}", told
    if match := NOISE.fullmatch(inputs):
        told = f"the test examples with Gaussian noise of {match[1]} times their standard deviation, drawn once"
        return f"inputs with noise of {match[1]} SD", told
    return inputs, f"test examples of the data set {inputs}"


def shifted(inputs: str, dataset: Dataset, test: Examples, store: Store | None = None) -> EvaluationData:
    """Other inputs in place of the test examples.

    Args:
        inputs: "translation-K": images moved to the right by K pixels, their left edge repeated. "noise-S": Gaussian
            noise is added, of S times the standard deviation of the test examples. Otherwise the name of a data set
            with inputs of the same shape, or ``module:attribute``: its test examples.
        dataset: The data set that the networks were trained on.
        test: Its test examples, or some of them.
        store: Where other data sets may lie.

    Raises:
        ValueError: There are no such inputs for this data set; the message says what is allowed.
    """
    if match := TRANSLATION.fullmatch(inputs):
        return EvaluationData(dataset, _translated(test, int(match[1]), inputs), inputs, words=in_words(inputs))
    if match := NOISE.fullmatch(inputs):
        return EvaluationData(dataset, _noisy(test, float(match[1])), inputs, words=in_words(inputs))
    try:
        other = load_dataset(inputs) if store is None else find_dataset(store, inputs)
    except ValueError as error:
        raise ValueError(f"inputs {inputs!r}: allowed are translation-K, noise-S and data sets; {error}") from error
    if other.input_shape != dataset.input_shape:
        raise ValueError(
            f"inputs {inputs!r} have shape {other.input_shape}; networks of this zoo take {dataset.input_shape}"
        )
    return EvaluationData(dataset, other.test.first(len(test)), inputs, labeled=False, words=in_words(inputs))


def _translated(test: Examples, pixels: int, inputs: str) -> Examples:
    if test.values.ndim != 4 or not 0 < pixels < test.values.shape[-1]:
        raise ValueError(
            f"inputs {inputs!r} need images more than {pixels} pixels wide, and 1 pixel at least to move them by; "
            f"this data set's inputs have shape {tuple(test.values.shape[1:])}"
        )
    edge_padded = pad(test.values[..., :-pixels].float(), (pixels, 0, 0, 0), mode="replicate")
    return _with_values(test, edge_padded.to(test.values.dtype))


def _noisy(test: Examples, share: float) -> Examples:
    """Noise in steps of a pixel and within their range, where inputs are pixels."""
    values = test.values.float()
    noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(SEED))
    noisy = values + share * values.std() * noise
    if test.values.dtype == torch.uint8:
        noisy = noisy.round().clamp(0, WHITE)
    return _with_values(test, noisy.to(test.values.dtype))


def _with_values(test: Examples, values: Tensor) -> Examples:
    return Examples(values, test.targets, test.scale)
