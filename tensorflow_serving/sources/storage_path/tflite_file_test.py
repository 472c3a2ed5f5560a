"""Tests for tflite_file."""

import contextlib
import io
import random

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import flatbuffer, tflite_file
from tensorflow_serving.test_util import tflite_models

_MODELS = {
    "half_plus_two": tflite_models.half_plus(2),
    "strings": tflite_models.reshape(),
    "recurrent": tflite_models.recurrent(),
    "custom": tflite_models.custom("Zap"),
    "metadata": tflite_models.copy(
        tflite_models.Tensor("x", [1, 2], shape_signature=[-1, 2]),
        metadata={"author": b"nobody"},
    ),
}


def _read(content: bytes) -> tflite_file.Model:
    return tflite_file.read(io.BytesIO(content))


class TfliteFileTest(parameterized.TestCase):
    """Tests of what a model says of itself."""

    def test_inputs_and_outputs_are_found(self) -> None:
        """Inputs and outputs of a graph have names and shapes."""
        (graph,) = _read(_MODELS["half_plus_two"]).subgraphs
        self.assertEqual(
            [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)],
            [
                tflite_file.Tensor(name, 0, (1, 1), None, False)
                for name in ("x", "y")
            ],
        )

    def test_open_sizes_are_found(self) -> None:
        """A size that is open is -1 in the signature of the shape."""
        (graph,) = _read(_MODELS["metadata"]).subgraphs
        tensor = graph.tensors[graph.inputs[0]]
        self.assertEqual(tensor.shape, (1, 2))
        self.assertEqual(tensor.shape_signature, (-1, 2))
        self.assertTrue(graph.is_open)
        (graph,) = _read(_MODELS["half_plus_two"]).subgraphs
        self.assertFalse(graph.is_open)

    def test_metadata_is_found_by_name(self) -> None:
        """Metadata has a name, and the content of its buffer."""
        self.assertEqual(
            _read(_MODELS["metadata"]).metadata, {"author": b"nobody"}
        )

    def test_operators_that_are_not_builtin_are_named(self) -> None:
        """Custom operators are named, and builtin ones are not."""
        self.assertEqual(_read(_MODELS["custom"]).custom_operators, ("Zap",))
        self.assertEqual(_read(_MODELS["strings"]).custom_operators, ())

    def test_tensor_that_keeps_its_value_is_found(self) -> None:
        """A tensor that keeps its value between runs is found."""
        self.assertTrue(_read(_MODELS["recurrent"]).has_variable_tensors)
        self.assertFalse(_read(_MODELS["strings"]).has_variable_tensors)

    @parameterized.parameters(*_MODELS)
    def test_file_that_ends_anywhere_is_refused(self, name: str) -> None:
        """A part of a model is refused, but for zeros at its end."""
        content = _MODELS[name]
        for size in range(len(content.rstrip(b"\0"))):
            with self.assertRaises(flatbuffer.TruncatedError, msg=size):
                _read(content[:size])

    @parameterized.parameters(*_MODELS)
    def test_garbage_is_read_or_refused(self, name: str) -> None:
        """Garbage is some model, or gets the error of the format."""
        content = _MODELS[name]
        source = random.Random(1)
        for _ in range(500):
            garbage = bytearray(content)
            for _ in range(source.choice((1, 2, 8))):
                position = source.randrange(len(garbage))
                garbage[position] = source.choice((0, 1, 127, 128, 255))
            with contextlib.suppress(flatbuffer.TruncatedError):
                _read(bytes(garbage))

    def test_other_version_of_the_schema_is_refused(self) -> None:
        """A file with the mark of another version of the format is refused."""
        content = _MODELS["strings"].replace(b"TFL3", b"TFL2")
        with self.assertRaisesRegex(flatbuffer.TruncatedError, "TFL3"):
            _read(content)


if __name__ == "__main__":
    absltest.main()
