"""From symbols to weights: the transform of the function-metric codec.

Shape letters: M members, P parameters, L layers, H units, D inputs of a layer with the bias, R coefficients of a
first-layer neuron, C classes, K entries of a token (in the last layer C - 1), T tokens of a layer, E step
exponents of a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.entropy import Array
from zoo.architecture import Architecture
from zoo.views.metric import class_rotation
from zoo.views.tokens import from_neuron_rows

# A network's steps are powers of 2^(1/2) of the codec's.
EXPONENTS_PER_OCTAVE = 2
LARGEST_EXPONENT = 120
INT8_LARGEST = 127


@dataclass(frozen=True)
class Symbols:
    """What is transmitted of some networks, before entropy coding.

    Attributes:
        exponents_ME: Step exponents: the first layer's, then each later layer's for its weights and its bias.
        layers: For each layer integers ``[M, T, K]``: the first layer's neurons, each in R coefficients; a later
            layer's inputs, each in one entry for each of the layer's outputs, the bias the last.
    """

    exponents_ME: Array
    layers: tuple[Array, ...]

    @classmethod
    def joined(cls, parts: Sequence[Symbols]) -> Symbols:
        """The networks of all parts, one after the other."""
        layers = zip(*(part.layers for part in parts), strict=True)
        return cls(np.concatenate([part.exponents_ME for part in parts]), tuple(np.concatenate(p) for p in layers))

    def select(self, rows: Array) -> Symbols:
        """The given networks."""
        return Symbols(self.exponents_ME[rows], tuple(layer[rows] for layer in self.layers))

    def sorted(self) -> Symbols:
        """The same functions, the first hidden layer's units sorted by decreasing first coefficient."""
        if len(self.layers) == 1:
            return self
        order_MH1 = np.argsort(-self.layers[0][:, :, 0], axis=1, kind="stable")[..., None]
        first, second, *others = self.layers
        units = order_MH1.shape[1]
        sorted_units = np.take_along_axis(second[:, :units], order_MH1, axis=1)
        second = np.concatenate([sorted_units, second[:, units:]], axis=1)
        return Symbols(self.exponents_ME, (np.take_along_axis(first, order_MH1, axis=1), second, *others))


@dataclass(frozen=True)
class Transform:
    """How symbols become weights.

    Attributes:
        architecture: Its layout alone matters; activations do not.
        step: The codec's step.
        stored: The arrays that it consists of, as they are stored.
    """

    architecture: Architecture
    step: float
    stored: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        step: float,
        *,
        basis_RD: Tensor,
        importance_D: Tensor,
        class_basis_KK: Tensor,
    ) -> Transform:
        """Without prediction yet. Rounds the arrays to what is stored: 8 bits for the basis, float16 for the others.

        Args:
            architecture: Gives the layout.
            step: The codec's step.
            basis_RD: The first layer's basis, one row for each coefficient.
            importance_D: Root mean square of each first-layer input; the basis is rounded in its proportion.
            class_basis_KK: Orthonormal; a row for each coefficient of a last-layer column.
        """
        relative_RD = basis_RD * importance_D
        rows_R1 = (relative_RD.abs().amax(dim=1, keepdim=True).clamp_min(1e-6) / INT8_LARGEST).half()
        columns_D = torch.where(importance_D > 0, 1 / importance_D, torch.zeros_like(importance_D)).half()
        tensors = {
            "basis": (relative_RD / rows_R1).round().clamp(-INT8_LARGEST, INT8_LARGEST).to(torch.int8),
            "basis_rows": rows_R1,
            "basis_columns": columns_D,
            "classes": class_basis_KK.half(),
        }
        return cls(architecture, step, {name: tensor.contiguous().numpy() for name, tensor in tensors.items()})

    def with_prediction(self, prediction_RK: Tensor) -> Transform:
        """Adds the expected last-layer symbols of a unit given its own first-layer symbols."""
        return replace(self, stored={**self.stored, "prediction": prediction_RK.half().contiguous().numpy()})

    @cached_property
    def basis(self) -> Tensor:
        """The first layer's basis: ``[R, D]`` float32."""
        parts = [torch.from_numpy(self.stored[name]).float() for name in ("basis", "basis_rows", "basis_columns")]
        return parts[0] * parts[1] * parts[2]

    @cached_property
    def class_basis(self) -> Tensor:
        """The basis of last-layer columns: ``[K, K]`` float32."""
        return torch.from_numpy(self.stored["classes"]).float()

    @cached_property
    def prediction(self) -> Tensor:
        """What first-layer coefficients say of last-layer ones: ``[R, K]`` float32."""
        return torch.from_numpy(self.stored["prediction"]).float()

    @property
    def layers(self) -> int:
        """L."""
        return len(self.architecture.linear_layers)

    @property
    def predicts(self) -> bool:
        """Whether the first layer's symbols can say something of the last layer's: each unit is in both."""
        return self.layers == 2

    def units(self, index: int) -> int:
        """How many units layer ``index`` reads."""
        return self.architecture.linear_layers[index][0].shape[1]

    def tokens(self, index: int) -> int:
        """T: the first layer's neurons, a later layer's inputs and its bias."""
        weight, bias = self.architecture.linear_layers[index]
        if index:
            return weight.shape[1] + (bias is not None)
        return weight.shape[0] if self.layers > 1 else weight.shape[0] - 1

    def entries(self, index: int) -> int:
        """K: entries of a token."""
        if not index:
            return len(self.basis)
        outputs = self.architecture.linear_layers[index][0].shape[0]
        return outputs - 1 if index == self.layers - 1 else outputs

    def parts(self, index: int, layer: Array) -> list[Array]:
        """A layer's symbols ``[M, T, K]`` as arrays of equal distribution: its units' tokens, then its bias.

        Columns are a token's entries where they have names (coefficients, classes); the outputs of a hidden
        layer share one.
        """
        units = self.units(index) if index else layer.shape[1]
        columns = 1 if 0 < index < self.layers - 1 else layer.shape[2]
        parts = [layer[:, :units], layer[:, units:]] if layer.shape[1] > units else [layer]
        return [part.reshape(-1, columns) for part in parts]

    def scales(self, index: int, exponents_ME: Array) -> Tensor:
        """What a symbol is worth in each token: ``[M, T]``."""
        scale_ME = self.step * torch.from_numpy(exponents_ME / EXPONENTS_PER_OCTAVE).exp2().float()
        if not index:
            return scale_ME[:, :1].expand(-1, self.tokens(0))
        units = self.units(index)
        weights_MT = scale_ME[:, 2 * index - 1, None].expand(-1, units)
        return torch.cat([weights_MT, scale_ME[:, 2 * index, None]], dim=1)[:, : self.tokens(index)]

    def predicted(self, index: int, layers: Sequence[Tensor]) -> Tensor | float:
        """What a layer's symbols are expected to be, given those of the layers before it."""
        if index != 1 or "prediction" not in self.stored:
            return 0.0
        expected_MHK = layers[0] @ self.prediction
        return torch.nn.functional.pad(expected_MHK, (0, 0, 0, self.tokens(1) - expected_MHK.shape[1]))

    def rows(self, index: int, symbols_MTK: Tensor, scales_MT: Tensor) -> Tensor:
        """A layer's rows ``[M, H, D]`` (the last layer's ``[M, K, D]``) from symbols, any prediction added."""
        vectors_MTK = symbols_MTK * scales_MT.unsqueeze(2)
        if not index:
            return vectors_MTK @ self.basis
        if index == self.layers - 1:
            vectors_MTK = vectors_MTK @ self.class_basis
        return vectors_MTK.transpose(1, 2)

    def weights(self, symbols: Symbols) -> Tensor:
        """``weights_MP`` float32."""
        integers = [torch.from_numpy(layer.astype(np.float32)) for layer in symbols.layers]
        rows = []
        for index, integers_MTK in enumerate(integers):
            scales_MT = self.scales(index, symbols.exponents_ME)
            rows.append(self.rows(index, integers_MTK + self.predicted(index, integers), scales_MT))
        # The class mean is not sent: softmax ignores it.
        rows[-1] = class_rotation(self.architecture.classes)[1:].T.float() @ rows[-1]
        return from_neuron_rows(self.architecture, rows)
