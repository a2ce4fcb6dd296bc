"""A few handwritten digits as large as networks with strided convolutions need them."""

from __future__ import annotations

from dataclasses import replace

import torch

from zoo.data import Dataset, Examples, load_dataset


def enlarged() -> Dataset:
    digits = load_dataset("digits")

    def larger(examples: Examples) -> Examples:
        few = examples.first(320)
        return replace(few, values=few.values.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3).contiguous())

    parts = {split: larger(getattr(digits, split)) for split in ("train", "validation", "test")}
    assert parts["train"].values.dtype == torch.uint8
    return replace(digits, name="enlarged-digits", **parts)
