"""A torch data set of snapshots, read from the store as they are asked for.

Shape letters: P parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from zoo.storage.shard_reader import ShardReader

# Row groups kept decoded: about 64 MB.
CACHED_ROW_GROUPS = 64

Item = dict[str, Any]


class SnapshotDataset(Dataset[Item]):
    """Map-style; an item is a dictionary with "weights" (float32 ``[P]``) and the columns chosen.

    Holds an index in memory, not the zoo: weights come from a few row groups that are kept decoded. Can be sent to
    the workers of a ``DataLoader``, each of which opens the files for itself.
    """

    def __init__(self, reader: ShardReader, rows: np.ndarray, columns: pa.Table) -> None:
        self._reader = reader
        self._columns: dict[str, Sequence[Any]] = {name: columns[name].to_pylist() for name in columns.column_names}
        self._group_of = np.stack(reader.locate(rows), axis=1)
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": OrderedDict()}

    def __len__(self) -> int:
        return len(self._group_of)

    def __getitem__(self, index: int) -> Item:
        shard, group, within = self._group_of[index].tolist()
        weights_P = torch.tensor(self._row_group(shard, group)[within])
        return {"weights": weights_P} | {name: values[index] for name, values in self._columns.items()}

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """What a ``DataLoader`` calls for a batch: each row group is decoded once for it, in any order of indices."""
        in_file_order = sorted(range(len(indices)), key=lambda place: tuple(self._group_of[indices[place]]))
        items: list[Item] = [{}] * len(indices)
        for place in in_file_order:
            items[place] = self[indices[place]]
        return items

    def _row_group(self, shard: int, group: int) -> np.ndarray:
        key = (shard, group)
        if key not in self._cache:
            self._cache[key] = self._reader.row_group(shard, group)
            while len(self._cache) > CACHED_ROW_GROUPS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]
