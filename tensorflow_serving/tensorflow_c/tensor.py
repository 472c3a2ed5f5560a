"""From numpy's arrays to TensorFlow's tensors and back.

A tensor is a pointer to a TF_Tensor. Whoever got it from new_tensor() or from
a run has it until take_array() or delete().

- An array becomes a tensor without a copy if it is aligned as TensorFlow wants
  it, like an aligned_array, and not tiny. The tensor owns a reference to the
  array and gives it back when the last one who uses the memory is done, which
  may be a variable, long after the run. Otherwise the tensor is a copy.
- A tensor becomes an array without a copy if it is large and nobody else uses
  its memory, so that the array may be written to; the array owns the tensor.
  Otherwise, as for a constant of the graph, the array is a copy. To copy a
  little costs less than to share it.

Texts are always copied, as their form in memory differs.
"""

import ctypes
import itertools
import weakref
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tensorflow_serving.tensorflow_c import (
    buffer,
    data_type,
    library,
    status,
)
from tensorflow_serving.tensorflow_c.protos import tensor_pb2
from tensorflow_serving.util import aligned_array, errors

_ALIGNMENT: Final = aligned_array.ALIGNMENT

# Up to here a copy costs less than to lend memory and to get it back.
_SMALL_BYTES: Final = 1 << 14
# From here on a copy takes longer than other threads should wait for the GIL,
# and costs more than what it takes to share memory.
_LARGE_BYTES: Final = 1 << 18
_TEXT_BYTES: Final = 24  # sizeof(TF_TString)

_DIMENSIONS: Final = [ctypes.c_int64 * rank for rank in range(65)]

# The arrays that tensors own, by what the deallocator gets.
_lent: dict[int, npt.NDArray[Any]] = {}
_next_loan = itertools.count(1)


def _give_back(data: int, length: int, loan: int) -> None:
    del _lent[loan]


# Kept, because C has its address.
_DEALLOCATOR = library.Deallocator(_give_back)


def num_lent_arrays() -> int:
    """Returns how many arrays are the memory of a tensor right now."""
    return len(_lent)


class Converter:
    """Converts between arrays and tensors of one type.

    Thread-safe.
    """

    def __init__(self, number: int) -> None:
        """Takes the number of the type; see data_type.

        Raises:
          InvalidArgumentError: Arrays cannot have the type. Permanent.
        """
        functions = library.load().functions
        self._functions = functions
        # Each run calls these.
        self._allocate = functions.TF_AllocateTensor
        self._new = functions.TF_NewTensor
        self._new_large = functions.TF_NewLargeTensor
        self._delete = functions.TF_DeleteTensor
        self._get_data = functions.TF_TensorData
        self._num_dimensions = functions.TF_NumDims
        self._get_dimension = functions.TF_Dim
        # The shape of the last tensor, and what the C API takes for it.
        self._last_shape = ((), _DIMENSIONS[0]())
        self._number = number % 100
        # The first is for arrays to be converted, the second for those that
        # come back.
        self.dtype = data_type.to_numpy(number)
        self._dtype_of_values = data_type.of_values(number)

    def new_tensor(self, array: npt.ArrayLike) -> int:
        """Returns a tensor that the caller must delete.

        Raises:
          InvalidArgumentError: The array has another dtype. Permanent.
        """
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        if array.dtype is not self.dtype:  # mostly it is the same object
            self._require_dtype(array.dtype)
        shape = array.shape
        last_shape, dimensions = self._last_shape
        if shape != last_shape:
            dimensions = _DIMENSIONS[len(shape)](*shape)
            self._last_shape = shape, dimensions
        size = array.nbytes
        tensor: int
        if size < _SMALL_BYTES:
            tensor = self._allocate(self._number, dimensions, len(shape), size)
            if size:
                # To copy twice takes less time than to ask for the address.
                ctypes.memmove(self._get_data(tensor), array.tobytes(), size)
            return tensor
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        address = _address(array)
        if size < _LARGE_BYTES and address % _ALIGNMENT:
            tensor = self._allocate(self._number, dimensions, len(shape), size)
            ctypes.memmove(self._get_data(tensor), address, size)
            return tensor
        loan = next(_next_loan)
        _lent[loan] = array
        # TensorFlow copies what is not aligned: much of it without the GIL.
        new = self._new if size < _LARGE_BYTES else self._new_large
        tensor = new(
            self._number,
            dimensions,
            len(shape),
            address,
            size,
            _DEALLOCATOR,
            loan,
        )
        return tensor

    def _require_dtype(self, dtype: np.dtype[Any]) -> None:
        if dtype not in (self.dtype, self._dtype_of_values):
            raise errors.InvalidArgumentError(
                "fetches and feeds must fit the graph; got an array of "
                f"{dtype} for a tensor of {self.dtype}"
            )

    def take_array(self, tensor: int) -> Any:
        """Returns the value of a tensor, which belongs to the array then.

        Args:
          tensor: A tensor of this type. The caller must not use it again.

        Returns:
          An array, also for a tensor without dimensions.
        """
        axes = range(self._num_dimensions(tensor))
        shape = tuple([self._get_dimension(tensor, axis) for axis in axes])
        array: npt.NDArray[Any] = np.empty(shape, self._dtype_of_values)
        size = array.nbytes
        if size < _LARGE_BYTES:
            if size:  # otherwise it may have no memory to ask for
                ctypes.memmove(_address(array), self._get_data(tensor), size)
            self._delete(tensor)
            return array
        memory = np.asarray(_Memory(self._functions, tensor, size))
        view = memory.view(self._dtype_of_values).reshape(shape)
        if self._functions.TF_TensorMaybeMove(tensor):
            return view
        # numpy copies without the GIL.
        np.copyto(array, view)
        return array


class TextConverter(Converter):
    """Converts between arrays of texts and tensors of strings.

    Arrays to be converted hold bytes or str, which becomes UTF-8, as objects or
    in numpy's own way; those that come back hold bytes, as objects.
    """

    @override
    def new_tensor(self, array: npt.ArrayLike) -> int:
        """See Converter.

        Raises:
          InvalidArgumentError: An element is not a text, or has no UTF-8 form.
            Permanent.
        """
        array = np.asarray(array)
        if not array.size:
            # A message would make one without memory, which is not a tensor
            # for all functions of the C API.
            return super().new_tensor(np.empty(array.shape, object))
        try:
            message = tensor_pb2.TensorProto(
                dtype=self._number,  # type: ignore[arg-type]
                string_val=[
                    text.encode() if isinstance(text, str) else text
                    for text in array.ravel().tolist()
                ],
            )
        except (TypeError, ValueError) as error:
            raise errors.InvalidArgumentError(
                "fetches and feeds must fit the graph; got something that is "
                f"not a text for a tensor of strings: {type(error).__name__}"
            ) from None
        for size in array.shape:
            message.tensor_shape.dim.add(size=size)
        return _parse(self._functions, message.SerializeToString())

    @override
    def take_array(self, tensor: int) -> Any:
        functions = self._functions
        array = np.empty(_shape(functions, tensor), object)
        get_data = functions.TF_StringGetDataPointer
        get_size = functions.TF_StringGetSize
        text = functions.TF_TensorData(tensor) if array.size else 0
        texts = array.reshape(-1)
        for index in range(array.size):
            texts[index] = ctypes.string_at(get_data(text), get_size(text))
            text += _TEXT_BYTES
        functions.TF_DeleteTensor(tensor)
        return array


def converter(number: int) -> Converter:
    """Returns what converts tensors of a type.

    Raises:
      InvalidArgumentError: Arrays cannot have the type. Permanent.
    """
    is_text = number % 100 == data_type.STRING
    return (TextConverter if is_text else Converter)(number)


def delete(tensor: int) -> None:
    """Frees a tensor."""
    library.load().functions.TF_DeleteTensor(tensor)


class _Memory:
    """The memory of a tensor, of which numpy makes an array that owns it."""

    def __init__(self, functions: Any, tensor: int, size: int) -> None:
        # https://numpy.org/doc/stable/reference/arrays.interface.html
        self.__array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (functions.TF_TensorData(tensor), False),
            "version": 3,
        }
        weakref.finalize(self, functions.TF_DeleteTensor, tensor).atexit = False


def _address(array: npt.NDArray[Any]) -> int:
    """Returns where the elements of an array are, without gaps, in memory."""
    if array.flags.writeable:
        try:
            # Four times as fast as the second way, which always works: this one
            # is not for arrays that are empty, or whose dtype is not numpy's.
            return ctypes.addressof(
                ctypes.c_char.from_buffer(array)  # type: ignore[arg-type]
            )
        except (TypeError, ValueError):
            pass
    address: int = array.__array_interface__["data"][0]
    return address


def _shape(functions: Any, tensor: int) -> tuple[int, ...]:
    get_size = functions.TF_Dim
    return tuple(
        [get_size(tensor, axis) for axis in range(functions.TF_NumDims(tensor))]
    )


def _parse(functions: Any, message: bytes) -> int:
    """Returns the tensor of a TensorProto."""
    # TensorFlow puts the value in the place of that of another tensor.
    tensor = functions.TF_AllocateTensor(1, None, 0, 4)
    view = buffer.View(message)
    try:
        with status.Status() as parsed:
            functions.TF_TensorFromProto(view.struct, tensor, parsed.pointer)
            parsed.check()
    except BaseException:
        functions.TF_DeleteTensor(tensor)
        raise
    return int(tensor)
