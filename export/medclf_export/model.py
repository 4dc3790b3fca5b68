"""An ONNX model on its way to disk: written one weight at a time, so that a large one is in memory once.

The bytes are those that protobuf would write (https://protobuf.dev/programming-guides/encoding), weights last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

Array = npt.NDArray[Any]

SIZE_LIMIT = 2**31 - 2**20  # bytes of one file: protobuf reads no more than 2 GiB
SMALL = 2**10  # bytes; smaller weights never leave the file, as ONNX Runtime reads shapes from them

# Tags of onnx.proto: field number and the wire type "length, then bytes"
GRAPH, INITIALIZER, RAW_DATA = (bytes([number << 3 | 2]) for number in (7, 5, 9))


@dataclass(frozen=True)
class Model:
    """A graph and its weights.

    Attributes:
        proto: The model, without the weights that are in `weights`.
        weights: Name -> array of an initializer.
    """

    proto: onnx.ModelProto
    weights: Mapping[str, Array] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Give the contents of the file, every weight inside."""
        file = BytesIO()
        self._write(file, data_file=None)
        return file.getvalue()

    def save(self, path: Path, *, size_limit: int = SIZE_LIMIT) -> list[Path]:
        """Write the file; a model over the limit keeps its weights in a second one, `<name>_data`.

        Args:
            path: Where; its folder is made.
            size_limit: Most bytes of a file with its weights inside.

        Returns:
            What was written, the model first.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self.proto.ByteSize() + sum(array.nbytes for array in self.weights.values())
        data_file = path.with_name(f"{path.name}_data") if size > size_limit else None
        with path.open("wb") as file:
            self._write(file, data_file)
        if data_file is None:
            return [path]
        with data_file.open("wb") as file:
            for array in self.weights.values():
                if array.nbytes >= SMALL:
                    file.write(_raw(array))
        return [path, data_file]

    def _write(self, file: BinaryIO, data_file: Path | None) -> None:
        shell = onnx.ModelProto()
        shell.CopyFrom(self.proto)
        nodes = shell.graph.SerializeToString()
        shell.ClearField("graph")
        tensors = self._tensors(data_file)
        length = len(nodes) + sum(len(tensor.start) + tensor.length for tensor in tensors)
        file.write(shell.SerializeToString() + GRAPH + _varint(length) + nodes)
        for tensor in tensors:
            file.write(tensor.start + tensor.head)
            if tensor.array is not None:
                file.write(_raw(tensor.array))

    def _tensors(self, data_file: Path | None) -> list["_Tensor"]:
        tensors, offset = [], 0
        for name, array in self.weights.items():
            proto = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
            if data_file is None or array.nbytes < SMALL:
                head = proto.SerializeToString() + RAW_DATA + _varint(array.nbytes)
                tensors.append(_Tensor(head, array))
                continue
            proto.data_location = TensorProto.EXTERNAL
            for key, value in {"location": data_file.name, "offset": offset, "length": array.nbytes}.items():
                proto.external_data.add(key=key, value=str(value))
            tensors.append(_Tensor(proto.SerializeToString(), None))
            offset += array.nbytes
        return tensors


@dataclass(frozen=True)
class _Tensor:
    """A weight as it lies in the file: everything but its data, and the data where they are inside."""

    head: bytes
    array: Array | None

    @property
    def length(self) -> int:
        return len(self.head) + (0 if self.array is None else self.array.nbytes)

    @property
    def start(self) -> bytes:
        return INITIALIZER + _varint(self.length)


def _raw(array: Array) -> bytes:
    return np.asarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
