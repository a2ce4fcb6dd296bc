"""Codecs in closed form as trainables: fitted to the training members of one layout, or of each."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

from trainables.closed_form import ClosedFormFit
from trainables.codecs.codec import Codec
from trainables.codecs.per_layout import PerLayout
from trainables.codecs.validation import validate_codec
from trainables.trainable import FitData, Reference, resolved
from zoo.data.examples import Examples
from zoo.population import Population


class CodecType(Protocol):
    """What a closed-form codec's class offers beside the codec itself."""

    def fit(self, config: Any, training: Population, examples: Examples) -> Codec:
        """The codec for networks of the training members' layout, from training examples."""
        ...

    def from_files(self, files: Mapping[str, bytes]) -> Codec:
        """The inverse of the codec's ``to_files``."""
        ...


@runtime_checkable
class SharingCodecType(Protocol):
    """What such a class may offer beside: fits with several configurations measure the same networks once."""

    def fit_sharing(
        self, config: Any, training: Population, examples: Examples, shared: MutableMapping[Any, Any]
    ) -> Codec:
        """As ``fit``; ``shared`` is :attr:`trainables.trainable.FitData.shared`."""
        ...


def begin(codec: Reference, config: Any, data: FitData) -> ClosedFormFit:
    """Begins a fit of a codec's class; see :class:`CodecType`."""
    return ClosedFormFit(
        config, data, fit=partial(_fitted, codec), measure=validate_codec, load=partial(load_codec, codec)
    )


def load_codec(codec: Reference, files: Mapping[str, bytes]) -> Codec:
    """The codec that a fit has left: of one layout, or of several."""
    codec_type: CodecType = resolved(codec)  # type: ignore[assignment]
    if PerLayout.left(files):
        return PerLayout.from_files(files, codec_type.from_files)
    return codec_type.from_files(files)


def _fitted(codec: Reference, config: Any, data: FitData) -> Codec:
    """The codec, or where there are several layouts one for each."""
    codec_type: CodecType = resolved(codec)  # type: ignore[assignment]
    fit = codec_type.fit
    if isinstance(codec_type, SharingCodecType):
        fit = partial(codec_type.fit_sharing, shared=data.shared)
    codecs = [fit(config, population, data.dataset.train) for population in data.training]
    if len(codecs) == 1:
        return codecs[0]
    return PerLayout(tuple(population.architecture for population in data.training), tuple(codecs))
