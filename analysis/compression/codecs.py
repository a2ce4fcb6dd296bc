"""The codecs that an analysis measures: the closed-form ones of ``trainables``, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from analysis.compression import controls
from trainables.codecs.codec import Codec
from trainables.codecs.entries import CODECS as CLOSED_FORM
from trainables.registry import find_trainable
from trainables.trainable import FitData, Trainable, run
from zoo.architecture import Architecture
from zoo.config import lookup

Setting = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecFamily:
    """A codec and the settings at which it is measured.

    Attributes:
        fit: ``fit(data, **setting) -> Codec``.
        settings: Keyword arguments of ``fit``, by increasing rate.
        family: "classical" or "control".
        steps: In how many steps it improves the code of each network when it is encoded, at a setting.
        no_symbols: Why memory cells could hold no symbols of its payloads; empty where they can.
        obstacle: Says why it cannot code networks of an architecture; ``None`` where it can.
    """

    fit: Callable[..., Codec]
    settings: tuple[Setting, ...] = ({},)
    family: str = "classical"
    steps: Callable[[Setting], int] = lambda setting: 0  # noqa: ARG005
    no_symbols: str = "a control sends none"
    obstacle: Callable[[Architecture], str | None] = lambda architecture: None  # noqa: ARG005

    def codec(self, data: FitData, setting: Setting) -> Codec:
        """Fits the codec to training members of one layout at one setting; settings on the same data may share."""
        return self.fit(data, **setting)


def of_trainable(codec: Trainable) -> CodecFamily:
    """A codec in closed form, measured along its curve."""

    def fit(data: FitData, **setting: Any) -> Codec:
        fitted: Codec = run(codec.fit(codec.configuration(setting), data)).artifact()  # type: ignore[assignment]
        return fitted

    def obstacle(architecture: Architecture) -> str | None:
        try:
            codec.known_before(codec.configuration({}), [architecture])
        except ValueError as error:
            return str(error)
        return None

    def steps(setting: Setting) -> int:
        return codec.steps_of(codec.configuration(setting))

    return CodecFamily(fit=fit, settings=codec.curve, steps=steps, no_symbols=codec.no_symbols, obstacle=obstacle)


def _control(fit: Callable[..., Codec], data: FitData, **setting: Any) -> Codec:
    return fit(data.training[0], data.dataset.train, **setting)


CODECS: dict[str, CodecFamily] = {
    **{name: of_trainable(codec) for name, codec in CLOSED_FORM.items()},
    "mean weights": CodecFamily(fit=partial(_control, controls.fit_mean_weights), family="control"),
    "constant member": CodecFamily(fit=partial(_control, controls.fit_constant_member), family="control"),
    "random network": CodecFamily(fit=partial(_control, controls.fit_random_network), family="control"),
    "index": CodecFamily(fit=partial(_control, controls.Index.fit), settings=({"known": 4000},), family="control"),
}


def find_codec(name: str) -> CodecFamily:
    """A codec by its name in ``CODECS``, or the user's own trainable by ``module:attribute``.

    Raises:
        ValueError: There is no such codec; the message lists the known ones.
    """
    if ":" not in name:
        family: CodecFamily = lookup(CODECS, name, "codec")
        return family
    trainable = find_trainable(name)
    if trainable.kind != "codec":
        raise ValueError(f"{name!r} is of kind {trainable.kind!r}; only trainables of kind 'codec' are named as codecs")
    return of_trainable(trainable)


def setting_name(setting: Setting) -> str:
    """A setting as written in tables: ``step=0.5``."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in setting.items()
    )
