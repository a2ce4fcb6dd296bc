"""An axis of a recipe: one hyper-parameter, with its choices or its range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from zoo.config import from_json, require, to_json

Level = Literal["", "shard", "block", "member"]
Scale = Literal["log", "linear", "whole"]
Design = Literal["random", "grid"]
# From what many members share to what each has of its own.
LEVELS = ("shard", "block", "member")
# More choices are not listed one by one where people read them.
MOST_LISTED = 12
# Entries of a value that is a tuple, such as the widths of layers.
LONGEST = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Which values a field of members, or an argument of the function that builds their architecture, can have.

    There are ``choices``, or a ``range``; or, with ``given`` alone, the value is that of another axis.

    Attributes:
        choices: Equally likely values; one of them is a constant.
        range: Lowest and highest value, in place of choices.
        scale: How a range is drawn from: log-uniformly, uniformly, or as uniform whole numbers, both ends included.
        lengths: If given, a value is a tuple of entries that are drawn from the choices, as many as one of these.
        level: What has a value of its own: each shard, each block or each member. Where it is empty, a recipe chooses
            what suits the field.
        given: Another axis, on whose value this one depends.
        cases: What takes the place of choices or range where that axis has a certain value (a name).
    """

    choices: tuple[Any, ...] = ()
    range: tuple[float, ...] = ()
    scale: Scale = "log"
    lengths: tuple[int, ...] = ()
    level: Level = ""
    given: str = ""
    cases: Mapping[str, Axis] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(isinstance(self.choices, tuple), self, "choices", "a tuple")
        require(self.scale in get_args(Scale), self, "scale", ", ".join(get_args(Scale)))
        require(self.level in get_args(Level), self, "level", ", ".join(LEVELS))
        require(isinstance(self.given, str), self, "given", "the name of another axis")
        nothing = "() where there are choices, which it would take the place of"
        require(self.range == () or not self.choices, self, "range", nothing)
        require(
            bool(self.choices or self.range or self.given),
            self,
            "choices",
            "at least one, or a range in their place, or the name of the axis that the value is taken from in given",
        )
        if self.range != ():
            self._check_range()
        else:
            require(self.scale == "log", self, "scale", "log, the default, where there is no range")
        lengths = isinstance(self.lengths, tuple) and all(
            type(each) is int and 0 <= each <= LONGEST for each in self.lengths
        )
        require(lengths, self, "lengths", f"a tuple of whole numbers, 0 to {LONGEST}")
        require(not self.lengths or bool(self.choices), self, "lengths", "() where there are no choices")
        require(isinstance(self.cases, Mapping), self, "cases", "a mapping from values of another axis to axes")
        require(not self.cases or bool(self.given), self, "cases", "nothing where there is no axis in given")
        cases = {value: as_axis(case) for value, case in self.cases.items()}
        require(all(isinstance(value, str) for value in cases), self, "cases", "keys that are names")
        plain = all(not (case.level or case.given) for case in cases.values())
        require(plain, self, "cases", "choices or ranges, without a level or a further case")
        object.__setattr__(self, "cases", cases)

    def _check_range(self) -> None:
        low_high = self.range
        allowed = "(low, high), low <= high, finite"
        require(isinstance(low_high, tuple) and len(low_high) == 2, self, "range", allowed)
        low, high = low_high
        whole = self.scale == "whole"
        kinds = (int,) if whole else (int, float)
        allowed += ", whole numbers" if whole else ", above 0 on a log scale" if self.scale == "log" else ""
        require(type(low) in kinds and type(high) in kinds, self, "range", allowed)
        require(-math.inf < low <= high < math.inf, self, "range", allowed)
        require(low > 0 or self.scale != "log", self, "range", allowed)
        require(not whole or max(abs(low), abs(high)) < 2**63, self, "range", f"{allowed}, each below 2**63")

    def __str__(self) -> str:
        if self.range:
            text = f"{self.range[0]:g} to {self.range[1]:g} ({self.scale})"
        elif self.choices:
            text = _listed(self.choices)
        else:
            text = f"that of {self.given}"
        if self.lengths:
            text = f"{_listed(self.lengths)} entries of {text}"
        for value, case in self.cases.items():
            text += f"; {case} where {self.given} is {value}"
        return text + (f"; for each {self.level}" if self.level else "")

    @property
    def constant(self) -> bool:
        """Whether there is one value."""
        return len(self.choices) == 1 and not (self.lengths or self.given)

    @property
    def count(self) -> int:
        """How many choices there are that a grid can go through; 1 for what is drawn independently."""
        return 1 if self.lengths or not self.choices else len(self.choices)

    @property
    def variants(self) -> tuple[Axis, ...]:
        """What a value can be drawn from: the axis itself, unless it only repeats another, and its cases."""
        own = (self,) if self.choices or self.range else ()
        return (*own, *self.cases.values())

    @property
    def values(self) -> tuple[Any, ...]:
        """The values that decide whether all are allowed: the choices, or both ends of the range."""
        if not self.lengths:
            return self.choices or self.range
        return tuple((choice,) * length for choice in self.choices for length in self.lengths)

    @property
    def all_values(self) -> tuple[Any, ...]:
        """The same of the axis and its cases."""
        return tuple(value for variant in self.variants for value in variant.values)

    def under(self, value: Any) -> Axis:
        """What the value is drawn from where the other axis has this value."""
        if value in self.cases:
            return self.cases[value]
        return self if self.choices or self.range else Axis(choices=(value,))

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        blank = Axis(choices=(0,))
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: to_json(value)
            for name, value in values.items()
            if (value if name == "choices" else value != getattr(blank, name))
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Axis:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: It is no mapping, a key is unknown, or a value is not allowed.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"an axis is {value!r}; allowed: an object with choices or a range")
        entries = {key: _tuples(entry) for key, entry in value.items()}
        if isinstance(entries.get("cases"), Mapping):
            entries["cases"] = {key: cls.from_json(case) for key, case in entries["cases"].items()}
        return from_json(cls, entries)


def as_axis(value: Any) -> Axis:
    """An axis as it is; a list as its choices; any other value as the only one."""
    if isinstance(value, Axis):
        return value
    return Axis(choices=tuple(value) if isinstance(value, list) else (value,))


def _listed(values: Sequence[Any]) -> str:
    """Values with commas, of many the first ones and the last."""
    few = values if len(values) <= MOST_LISTED else (*values[:3], "…", values[-1])
    return ", ".join(str(value) for value in few)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, also within others."""
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
