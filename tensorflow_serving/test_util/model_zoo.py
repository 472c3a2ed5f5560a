"""Models of all kinds that people export, and the right answers of each.

An entry has calls, their answers as numpy computes them, and whether the model
is served. TensorFlow is not imported here: zoo_exports, zoo_saved_models and
zoo_tflite_models write the models when a test is built, and
written_models.unpack_zoo() copies them to where the test wants them.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors

Arrays = Mapping[str, npt.NDArray[Any]]

# Sums of products of these and small integers are exact, in any order.
WEIGHTS: Final = (np.arange(12).reshape(4, 3) / 8).astype(np.float32)
# All calls of a model that is batched have fewer rows.
MAX_ROWS: Final = 8
# The texts that the tables map to 0 and 1; all others are -1.
LINES: Final = (b"hello", b"w\xc3\xb6rld")
# How variables are kept and written.
VARIABLES: Final = tuple(
    f"{kind}_variables_{way}"
    for kind in ("reference", "resource")
    for way in ("v1_sharded", "v1", "v2")
)
# Element types of arrays.
DTYPES: Final = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


class Support(enum.Enum):
    """How far a model is supported; the values are those of g3doc."""

    # Calls are merged, padded and split.
    BATCHED = "batched"
    # Calls are served one by one, in a session that batches as well.
    ALONE = "runs alone"
    # Served right only where batching is off, which the graph does not show.
    UNBATCHED = "without batching only"
    # Can be loaded; a server gets the error when it runs the model.
    FAILS = "every call fails"
    REFUSED = "refused when loaded"


@dataclasses.dataclass(frozen=True)
class Example:
    """A call with its right answer."""

    # By the names of the signature.
    inputs: Arrays
    outputs: Arrays


@dataclasses.dataclass(frozen=True)
class Model:
    """A kind of model."""

    # Names its folder as well.
    name: str
    support: Support
    # At least two, of different values if there are inputs.
    examples: tuple[Example, ...] = dataclasses.field(repr=False)
    # The class of the error of a load or a call if the model is not served.
    error: type[errors.ServingError] | None = None
    # Part of the text of the error.
    text: str = ""

    @property
    def path(self) -> str:
        """The folder of its version, below the folder of all models."""
        return f"{self.name}/00000001"


def _rows(num_rows: int, start: int = 0) -> npt.NDArray[np.float32]:
    """Returns features that differ in each row."""
    size = num_rows * WEIGHTS.shape[0]
    return np.arange(start, start + size, dtype=np.float32).reshape(
        num_rows, -1
    )


_BATCHES: Final = tuple(_rows(rows, 5 * rows) for rows in (1, 3, 2))


def _of(x: npt.ArrayLike, y: npt.ArrayLike) -> Example:
    return Example({"x": np.asarray(x)}, {"y": np.asarray(y)})


def _dense(scale: float = 1) -> tuple[Example, ...]:
    return tuple(_of(x, x * scale @ WEIGHTS) for x in _BATCHES)


def _centered(num_rows: int) -> tuple[Example, ...]:
    batches = [_rows(num_rows, start) ** 2 for start in (1, 2, 3)]
    return tuple(_of(x, x - x.mean()) for x in batches)


def _of_dtype(
    fed: npt.DTypeLike, fetched: npt.DTypeLike | None = None
) -> tuple[Example, ...]:
    """Returns examples of elements that come back as they are.

    Args:
      fed: The dtype of inputs.
      fetched: The dtype of outputs, if it is another one.
    """
    batches = [np.array(rows) for rows in ([[0, 1]], [[1, 2], [3, 4]])]
    return tuple(_of(x.astype(fed), x.astype(fetched or fed)) for x in batches)


def _tables() -> tuple[Example, ...]:
    return tuple(
        Example({"key": np.array(keys, object)}, {"number": np.array(numbers)})
        for keys, numbers in (
            ([LINES[1]], [1]),
            ([*LINES], [0, 1]),
            ([b"", LINES[0]], [-1, 0]),
        )
    )


def _strings() -> tuple[Example, ...]:
    return tuple(
        Example(
            {"text": np.array(texts, object)},
            {"joined": np.array([t + b"\xff\0" for t in texts], object)},
        )
        for texts in ([b"a\0"], [b"", b"\xc3"])
    )


def _columns() -> tuple[Example, ...]:
    """Returns examples of texts that come back as a column."""
    return tuple(
        Example(
            {"text": np.array(texts, object)},
            {"joined": np.array([[text] for text in texts], object)},
        )
        for texts in ([b"a\0"], [b"", b"\xc3"])
    )


def _serialized(x: npt.NDArray[np.float32]) -> bytes:
    """Returns a tf.train.Example with a feature x."""
    message = x.astype("<f4").tobytes()
    # FloatList.value, Feature.float_list.
    for number in (1, 2):
        message = _field(number, message)
    # An entry of Features.feature, Example.features.
    entry = _field(1, b"x") + _field(2, message)
    return _field(1, _field(1, entry))


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a message; of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def _examples() -> tuple[Example, ...]:
    return tuple(
        Example(
            {"examples": np.array([*map(_serialized, x)], object)},
            {"y": x @ WEIGHTS},
        )
        for x in _BATCHES
    )


def _scaled(is_scalar: bool) -> tuple[Example, ...]:
    """Returns examples with a factor for each row, or for all."""
    examples = []
    for x in _BATCHES:
        scale = x[0, 0] if is_scalar else x[:, :1]
        inputs = {"x": x, "scale": np.asarray(scale)}
        examples.append(Example(inputs, {"y": x @ WEIGHTS * scale}))
    return tuple(examples)


def _sums() -> tuple[Example, ...]:
    """Returns examples of which two have rows of one width."""
    batches = (_rows(2)[:, :2], _rows(1), _rows(3, 5))
    return tuple(_of(x, x.sum(axis=1)) for x in batches)


def _sparse() -> tuple[Example, ...]:
    examples = []
    for value in (1, 5):
        dense = np.zeros([2, 4], np.float32)
        dense[0, 1], dense[1, 3] = value, 2 * value
        indices = np.argwhere(dense)
        inputs: Arrays = {
            "indices": indices,
            "values": dense[tuple(indices.T)],
            "shape": np.array([2, 4]),
        }
        examples.append(Example(inputs, {"y": dense @ WEIGHTS}))
    return tuple(examples)


def _ragged() -> tuple[Example, ...]:
    return tuple(
        Example(
            {
                "x": np.array(values, np.float32),
                "x_1": np.array(splits),
            },
            {"y": np.array(sums, np.float32)},
        )
        for values, splits, sums in (
            ([1, 2, 3], [0, 1, 3], [1, 5]),
            ([4, 5, 6], [0, 2, 3], [9, 6]),
        )
    )


def _scalars() -> tuple[Example, ...]:
    return tuple(_of(np.float32(x), np.float32(2 * x)) for x in (1, 3))


def _counts() -> tuple[Example, ...]:
    steps = np.array([1, 3, 2], np.float32)
    return tuple(map(_of, steps, np.cumsum(steps)))


def _lstm() -> tuple[Example, ...]:
    return tuple(
        Example(
            {"x": _rows(2 * rows).reshape(rows, 2, 4)},
            {"output_0": np.zeros([rows, 2], np.float32)},
        )
        for rows in (1, 3)
    )


def _keras(feed: str) -> tuple[Example, ...]:
    return tuple(
        Example({feed: each.inputs["x"]}, {"output_0": each.outputs["y"]})
        for each in _dense()
    )


def _batched() -> Iterator[Model]:
    for name in VARIABLES:
        yield Model(name, Support.BATCHED, _dense())
    for name in DTYPES:
        yield Model(f"dtype_{name}", Support.BATCHED, _of_dtype(name))
    for name, examples in (
        ("bfloat16", _of_dtype(ml_dtypes.bfloat16)),
        ("qint8", _of_dtype([("qint8", "i1")], "i1")),
    ):
        yield Model(f"dtype_{name}", Support.BATCHED, examples)
    for version in (1, 2):
        name = f"of_tensorflow_{version}"
        yield Model(f"cond_{name}", Support.BATCHED, _dense())
        yield Model(f"loop_{name}", Support.BATCHED, _dense(8))
    for name in (
        *("partitioned_variables", "frozen", "gpu_cleared"),
        *("unknown_attribute", "rows_of_unknown_shape"),
    ):
        yield Model(name, Support.BATCHED, _dense())
    for name in ("table_of_asset", "table_in_graph"):
        yield Model(name, Support.BATCHED, _tables())
    for name, examples in (
        *(("strings", _strings()), ("examples", _examples())),
        *(("two_inputs", _scaled(False)), ("rows_of_any_shape", _sums())),
    ):
        yield Model(name, Support.BATCHED, examples)
    yield Model(
        "unknown_rank",
        Support.BATCHED,
        tuple(_of(x, 2 * x) for x in (*_BATCHES, _rows(1)[:, 0])),
    )
    for name, examples in (
        ("keras_export", _keras("x")),
        ("keras_save", _keras("inputs")),
        *(("keras_lstm", _lstm()), ("while", _dense(8)), ("module", _dense())),
        ("jit_compiled", _dense()),
        *(("simple_save", _dense()), ("signatures_with_effects", _dense())),
    ):
        yield Model(name, Support.BATCHED, examples)


def _alone() -> Iterator[Model]:
    """Yields models of which calls must not be merged."""
    for name, compute in (
        ("constant_output", lambda x: np.array([1, 2], np.float32)),
        ("twice_the_rows", lambda x: np.concatenate([x, -x])),
        ("scalar_output", np.sum),
        ("total_of_unknown_shape", np.sum),
    ):
        examples = tuple(_of(x, compute(x)) for x in _BATCHES)
        yield Model(name, Support.ALONE, examples)
    for name, examples in (
        *(("one_row", _centered(1)), ("three_rows", _centered(3))),
        *(("sparse", _sparse()), ("scalar_input", _scalars())),
        *(("counter", _counts()), ("rows_and_scalar", _scaled(True))),
    ):
        yield Model(name, Support.ALONE, examples)
    outputs = {"output_0": WEIGHTS.sum(axis=0)}
    yield Model(
        "no_inputs",
        Support.ALONE,
        (Example({}, outputs), Example({}, outputs)),
    )


def _not_batched() -> Iterator[Model]:
    """Yields models that are not served, or not in batches."""
    yield Model("coupled_rows", Support.UNBATCHED, _centered(2))
    yield Model("ragged", Support.UNBATCHED, _ragged())
    refused = errors.FailedPreconditionError
    for name, text in (
        (
            "python",
            "Graph must not call Python, which is not part of an export",
        ),
        ("gpu", "exported anew with clear_devices=True"),
        ("unknown_op", "Op type not registered 'OperationOfTomorrow'"),
        ("newer_consumer", "GraphDef min consumer version 99999 above"),
    ):
        yield Model(name, Support.REFUSED, _dense(), error=refused, text=text)
    yield Model(
        "unfed_placeholder",
        Support.FAILS,
        _dense(),
        error=errors.InvalidArgumentError,
        text="You must feed a value for placeholder tensor",
    )


def _tflite() -> Iterator[Model]:
    """Yields the TFLite models."""
    for name, examples in (
        *(("", _dense()), ("_while", _dense(8)), ("_table", _tables())),
        *(("_strings", _columns()), ("_two_inputs", _scaled(False))),
        *(("_rows_of_any_shape", _sums()), ("_quantized", _of_dtype("u1"))),
        ("_unknown_rank", tuple(_of(x, 2 * x) for x in _BATCHES)),
    ):
        yield Model(f"tflite{name}", Support.BATCHED, examples)
    for name in (*DTYPES, "bfloat16"):
        dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
        yield Model(f"tflite_dtype_{name}", Support.BATCHED, _of_dtype(dtype))
    sums = tuple(_of(x, x.sum()) for x in _BATCHES)
    numbers = [x[:1, :1] for x in _BATCHES]
    for name, examples in (
        *(("one_row", _centered(1)), ("scalar_output", sums)),
        ("of_tensorflow_1", tuple(_of(x, x / 2 + 2) for x in numbers)),
        ("recurrent", tuple(_of(x, x) for x in numbers)),
    ):
        yield Model(f"tflite_{name}", Support.ALONE, examples)
    yield Model("tflite_coupled_rows", Support.UNBATCHED, _centered(2))
    refused = errors.FailedPreconditionError
    for name, text in (
        ("select_operators", "Select TensorFlow op"),
        ("custom_operator", "Encountered unresolved custom op: ParseExampleV2"),
        ("counter", "TFLite model must not assign variables when it is called"),
        ("trusted_operand", "must not trust a number that callers choose"),
    ):
        yield Model(
            f"tflite_{name}", Support.REFUSED, (), error=refused, text=text
        )


MODELS: Final = (*_batched(), *_alone(), *_not_batched(), *_tflite())
