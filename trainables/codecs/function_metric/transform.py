"""From symbols to weights: the transform of the function-metric codec.

Shape letters: M members, P parameters, L weight layers, H outputs of a layer, D inputs of an output with the bias, U
units that a layer reads, B entries of each, R coefficients of a row, C logits, K entries of a token, T tokens of a
layer, E step exponents of a network, Q its symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.entropy import Array
from trainables.codecs.function_metric.networks import counted_directions, final_layer
from zoo.architecture import Architecture
from zoo.views.folding import Folding
from zoo.views.weight_layers import WeightLayer, weight_layers

# A network's steps are powers of 2^(1/2) of the codec's.
EXPONENTS_PER_OCTAVE = 2
LARGEST_EXPONENT = 120
INT8_LARGEST = 127


@dataclass(frozen=True)
class Symbols:
    """What is transmitted of some networks, before entropy coding.

    Attributes:
        exponents_ME: Step exponents, layer by layer: of one whose inputs have names one, of any other that of its
            weights and, where it has one, that of its bias.
        layers: For each layer integers ``[M, T, K]``. Tokens are its outputs, each in R coefficients, where its inputs
            have names. Else they are its inputs, unit by unit and each in B coefficients, with one entry for each of
            the layer's outputs; the bias is the last.
    """

    exponents_ME: Array
    layers: tuple[Array, ...]

    @classmethod
    def joined(cls, parts: Sequence[Symbols]) -> Symbols:
        """The networks of all parts, one after the other."""
        layers = zip(*(part.layers for part in parts), strict=True)
        return cls(np.concatenate([part.exponents_ME for part in parts]), tuple(np.concatenate(p) for p in layers))

    def replaced(self, rows: Array, others: Symbols) -> Symbols:
        """The same but for the given networks, which are the others."""
        parts = [part.copy() for part in (self.exponents_ME, *self.layers)]
        for part, other in zip(parts, (others.exponents_ME, *others.layers), strict=True):
            part[rows] = other
        return Symbols(parts[0], tuple(parts[1:]))

    def select(self, rows: Array) -> Symbols:
        """The given networks."""
        return Symbols(self.exponents_ME[rows], tuple(layer[rows] for layer in self.layers))

    def flat(self) -> Tensor:
        """All symbols of each network in a row, layer by layer: float32 ``[M, Q]``."""
        return torch.cat([torch.from_numpy(layer).float().flatten(1) for layer in self.layers], dim=1)

    def with_flat(self, symbols_MQ: Tensor) -> Symbols:
        """The same with other symbols, given as by :meth:`flat`."""
        parts = symbols_MQ.to(torch.int32).split([layer[0].size for layer in self.layers], dim=1)
        layers = (part.numpy().reshape(layer.shape) for part, layer in zip(parts, self.layers, strict=True))
        return Symbols(self.exponents_ME, tuple(layers))


@dataclass(frozen=True)
class Transform:
    """How symbols become weights.

    Attributes:
        architecture: Its layout alone matters; activations do not.
        step: The codec's step.
        softmax: Whether what all logits have in common counts for nothing and is not sent.
        stored: The arrays that it consists of, as they are stored.
    """

    architecture: Architecture
    step: float
    softmax: bool
    stored: Mapping[str, Array]

    @cached_property
    def folding(self) -> Folding:
        """Takes batch norms away."""
        return Folding(self.architecture)

    @cached_property
    def layers(self) -> tuple[WeightLayer, ...]:
        """The weight layers, without batch norms."""
        return weight_layers(self.folding.folded)

    @cached_property
    def final(self) -> str | None:
        """The layer that gives the logits."""
        return final_layer(self.folding.folded)

    @cached_property
    def directions(self) -> Tensor:
        """The directions of the logits that are sent: ``[K, C]``."""
        return counted_directions(self.architecture.classes, softmax=self.softmax)

    @cached_property
    def exponents(self) -> tuple[slice, ...]:
        """Where each layer's step exponents are."""
        ends = np.cumsum([1 if layer.named else 1 + (layer.bias is not None) for layer in self.layers]).tolist()
        return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))

    def with_basis(self, index: int, basis_RD: Tensor, importance_D: Tensor) -> Transform:
        """Adds a layer's basis, rounded to what is stored: 8 bits for each entry.

        Args:
            index: The layer.
            basis_RD: One row for each coefficient of a row, or of a unit's entries.
            importance_D: Root mean square of each input; the basis is rounded in its proportion.
        """
        relative_RD = basis_RD * importance_D
        rows_R1 = (relative_RD.abs().amax(dim=1, keepdim=True).clamp_min(1e-6) / INT8_LARGEST).half()
        columns_D = torch.where(importance_D > 0, 1 / importance_D, torch.zeros_like(importance_D)).half()
        rounded_RD = (relative_RD / rows_R1).round().clamp(-INT8_LARGEST, INT8_LARGEST).to(torch.int8)
        parts = {"basis": rounded_RD, "rows": rows_R1, "columns": columns_D}
        return self._with({f"{index}.{name}": tensor for name, tensor in parts.items()})

    def with_class_basis(self, basis_KK: Tensor) -> Transform:
        """Adds the orthonormal basis of the final layer's columns."""
        return self._with({"classes": basis_KK.half()})

    def with_prediction(self, prediction_RK: Tensor) -> Transform:
        """Adds the expected last-layer symbols of a unit given its own first-layer symbols."""
        return self._with({"prediction": prediction_RK.half()})

    def _with(self, tensors: Mapping[str, Tensor]) -> Transform:
        arrays = {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}
        return replace(self, stored={**self.stored, **arrays})

    @cached_property
    def bases(self) -> tuple[Tensor, ...]:
        """For each layer ``[R, D]`` float32: of its rows, or ``[B, B]`` of the entries of each unit that it reads."""
        found = []
        for index in range(len(self.layers)):
            parts = [torch.from_numpy(self.stored[f"{index}.{name}"]).float() for name in ("basis", "rows", "columns")]
            found.append(parts[0] * parts[1] * parts[2])
        return tuple(found)

    @cached_property
    def class_basis(self) -> Tensor:
        """The basis of the final layer's columns: ``[K, K]`` float32."""
        return torch.from_numpy(self.stored["classes"]).float()

    @cached_property
    def prediction(self) -> Tensor:
        """What first-layer coefficients say of last-layer ones: ``[R, K]`` float32."""
        return torch.from_numpy(self.stored["prediction"]).float()

    @property
    def predicts(self) -> bool:
        """Whether the first layer's symbols can say something of the last layer's: each unit is in both."""
        if len(self.layers) != 2 or self.layers[1].name != self.final:
            return False
        first, last = self.layers
        return first.named and not last.named and last.entries == 1 and last.units == first.outputs

    def outputs(self, index: int) -> int:
        """How many outputs of a layer are sent."""
        return len(self.directions) if self.layers[index].name == self.final else self.layers[index].outputs

    def tokens(self, index: int) -> int:
        """T."""
        return self.outputs(index) if self.layers[index].named else self.layers[index].width

    def entries(self, index: int) -> int:
        """K."""
        return len(self.bases[index]) if self.layers[index].named else self.outputs(index)

    def parts(self, index: int, layer: Array) -> list[Array]:
        """A layer's symbols ``[M, T, K]`` as arrays ``[rows, columns]`` of equal distribution.

        Where inputs have names, columns are the coefficients. Else there are two arrays: first the weights', whose
        columns are the coefficients of a unit's entries, or of the final layer the directions of the logits; then
        the bias's, likewise.
        """
        described = self.layers[index]
        if described.named:
            return [layer.reshape(-1, layer.shape[2])]
        read, final = described.units * described.entries, described.name == self.final
        weights, bias = layer[:, :read], layer[:, read:]
        if final and described.entries == 1:
            streams = [weights.reshape(-1, layer.shape[2])]
        else:
            by_unit = weights.reshape(-1, described.entries, layer.shape[2])
            streams = [by_unit.transpose(0, 2, 1).reshape(-1, described.entries)]
        return [*streams, bias.reshape(-1, layer.shape[2] if final else 1)] if bias.shape[1] else streams

    def from_parts(self, index: int, streams: Sequence[Array], members: int) -> Array:
        """The inverse of :meth:`parts`."""
        described, entries = self.layers[index], self.entries(index)
        if described.named:
            return streams[0].reshape(members, -1, entries)
        weights = streams[0]
        if not (described.name == self.final and described.entries == 1):
            weights = weights.reshape(-1, entries, described.entries).transpose(0, 2, 1)
        tokens = weights.reshape(members, -1, entries)
        return np.concatenate([tokens, *(bias.reshape(members, 1, entries) for bias in streams[1:])], axis=1)

    def scales(self, index: int, exponents_ME: Array) -> Tensor:
        """What a symbol is worth in each token: ``[M, T]``."""
        own_ME = exponents_ME[:, self.exponents[index]] / EXPONENTS_PER_OCTAVE
        scale_ME = self.step * torch.from_numpy(own_ME).exp2().float()
        tokens = self.tokens(index)
        if scale_ME.shape[1] == 1:
            return scale_ME.expand(-1, tokens)
        return torch.cat([scale_ME[:, :1].expand(-1, tokens - 1), scale_ME[:, 1:]], dim=1)

    def predicted(self, index: int, layers: Sequence[Tensor]) -> Tensor | float:
        """What a layer's symbols are expected to be, given those of the layers before it."""
        if index != 1 or "prediction" not in self.stored:
            return 0.0
        expected_MHK = layers[0] @ self.prediction
        return torch.nn.functional.pad(expected_MHK, (0, 0, 0, self.tokens(1) - expected_MHK.shape[1]))

    def rows(self, index: int, symbols_MTK: Tensor, scales_MT: Tensor) -> Tensor:
        """A layer's rows ``[M, H, D]`` (the final layer's ``[M, K, D]``) from symbols, any prediction added."""
        vectors_MTK = symbols_MTK * scales_MT.unsqueeze(2)
        layer, basis = self.layers[index], self.bases[index]
        if layer.named:
            return vectors_MTK @ basis
        if layer.name == self.final:
            vectors_MTK = vectors_MTK @ self.class_basis
        rows_MHT = vectors_MTK.transpose(1, 2)
        read = layer.units * layer.entries
        weights = rows_MHT[..., :read].unflatten(2, (layer.units, layer.entries)) @ basis
        return torch.cat([weights.flatten(2), rows_MHT[..., read:]], dim=2)

    def tensors(self, index: int, rows_MHD: Tensor) -> dict[str, Tensor]:
        """A layer's tensors from its rows; what all logits have in common was not sent and is zero."""
        if self.layers[index].name == self.final:
            rows_MHD = self.directions.T @ rows_MHD
        return self.layers[index].tensors(rows_MHD)

    def all_rows(self, layers: Sequence[Tensor], exponents_ME: Array) -> list[Tensor]:
        """The :meth:`rows` of all layers from symbols; differentiable in them."""
        return [
            self.rows(index, layer_MTK + self.predicted(index, layers), self.scales(index, exponents_ME))
            for index, layer_MTK in enumerate(layers)
        ]

    def all_tensors(self, layers: Sequence[Tensor], exponents_ME: Array) -> dict[str, Tensor]:
        """Networks without batch norms from symbols; differentiable in them."""
        tensors: dict[str, Tensor] = {}
        for index, rows_MHD in enumerate(self.all_rows(layers, exponents_ME)):
            tensors |= self.tensors(index, rows_MHD)
        return tensors

    def folded_weights(self, exponents_ME: Array, symbols_MQ: Tensor) -> Tensor:
        """Networks without batch norms, flat, from symbols as by :meth:`Symbols.flat`; differentiable in these."""
        shapes = [(self.tokens(index), self.entries(index)) for index in range(len(self.layers))]
        parts = symbols_MQ.split([tokens * entries for tokens, entries in shapes], dim=1)
        layers = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        return self.folding.folded.flatten(self.all_tensors(layers, exponents_ME))

    def weights(self, symbols: Symbols) -> Tensor:
        """``weights_MP`` float32."""
        return self.folding.unfold(self.folded_weights(symbols.exponents_ME, symbols.flat()))
