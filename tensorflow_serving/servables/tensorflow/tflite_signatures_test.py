"""Tests for tflite_signatures."""

import io
from collections.abc import Mapping

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import tflite_signatures
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2, types_pb2
from tensorflow_serving.test_util import tflite_models
from tensorflow_serving.util import errors

_OPEN = tflite_models.Tensor("x", [1, 2], shape_signature=[-1, 2])


def _signatures(content: bytes) -> tflite_signatures.Signatures:
    return tflite_signatures.signatures(tflite_file.read(io.BytesIO(content)))


def _definition(
    inputs: Mapping[str, str], outputs: Mapping[str, str], method: str = ""
) -> meta_graph_pb2.SignatureDef:
    definition = meta_graph_pb2.SignatureDef(method_name=method)
    for names, infos in (
        (inputs, definition.inputs),
        (outputs, definition.outputs),
    ):
        for key, name in names.items():
            infos[key].name = name
    return definition


class TfliteSignaturesTest(parameterized.TestCase):
    """Tests with models that were made for them."""

    def test_model_without_signatures_gets_one_of_its_names(self) -> None:
        """A model without signatures is called by the names of its tensors."""
        found = _signatures(tflite_models.half_plus(2))
        definition = found.definitions["serving_default"]
        self.assertEqual(definition.method_name, "tensorflow/serving/predict")
        (info,) = (definition.inputs["x"],)
        self.assertEqual(info.name, "x:0")
        self.assertEqual(info.dtype, types_pb2.DT_FLOAT)
        self.assertEqual([dim.size for dim in info.tensor_shape.dim], [1, 1])
        self.assertEqual([*definition.outputs], ["y"])

    @parameterized.parameters(("", ""), ("", ":0"), (":0", ":0"))
    def test_signatures_of_the_metadata_are_used(
        self, in_model: str, in_signature: str
    ) -> None:
        """A signature finds its tensors with and without ":0"."""
        definition = _definition(
            {"input": f"x{in_signature}"},
            {"output": f"y{in_signature}"},
            "tensorflow/serving/regress",
        )
        found = _signatures(
            tflite_models.half_plus(
                2,
                suffix=in_model,
                signatures={"a": definition, "b": definition},
            )
        )
        self.assertEqual(found.definitions.keys(), {"a", "b"})
        made = found.definitions["a"]
        self.assertEqual(made.method_name, "tensorflow/serving/regress")
        self.assertEqual(made.inputs["input"].name, "x:0")
        self.assertEqual(made.inputs["input"].dtype, types_pb2.DT_FLOAT)
        self.assertEqual(made.outputs["output"].name, "y:0")

    def test_long_signature_is_not_a_text(self) -> None:
        """A signature whose bytes are not UTF-8 is read like any other."""
        definition = _definition({"x" * 200: "x"}, {"y": "y"})
        self.assertRaises(
            UnicodeDecodeError, definition.SerializeToString().decode
        )
        found = _signatures(
            tflite_models.half_plus(2, signatures={"long": definition})
        )
        self.assertEqual([*found.definitions["long"].inputs], ["x" * 200])

    @parameterized.parameters(
        ({"x": "z"}, {"y": "y"}, r"names? tensors of the graph, of \['x'\]"),
        ({"x": "x"}, {"y": "x"}, r"names? tensors of the graph, of \['y'\]"),
        ({}, {"y": "y"}, "all 1 inputs"),
    )
    def test_signature_that_does_not_fit_is_refused(
        self, inputs: Mapping[str, str], outputs: Mapping[str, str], text: str
    ) -> None:
        """The error of a signature says which tensors there are."""
        content = tflite_models.half_plus(
            2, signatures={"bad": _definition(inputs, outputs)}
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, f"signature bad must.*{text}"
        ):
            _signatures(content)

    @parameterized.parameters(b"\1", b"garbage", b"\xff" * 100, b"ab\x26\x01")
    def test_garbage_in_place_of_signatures_is_refused(
        self, garbage: bytes
    ) -> None:
        """Metadata that should hold signatures and does not is an error."""
        content = tflite_models.copy(
            _OPEN, metadata={"signature_defs_metadata": garbage}
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "signature_defs_metadata must"
        ):
            _signatures(content)

    @parameterized.parameters("", "y")
    def test_names_must_tell_tensors_apart(self, name: str) -> None:
        """Tensors of one name, or of none, do not become a signature."""
        tensors = [
            tflite_models.Tensor(each, [1]) for each in (name, name, "z")
        ]
        content = tflite_models.write(tensors, [], [0, 1], [2])
        with self.assertRaisesRegex(errors.FailedPreconditionError, "differ"):
            _signatures(content)

    @parameterized.parameters("RESOURCE", "VARIANT", "INT4", "FLOAT8_E5M2")
    def test_tensor_that_cannot_be_sent_is_refused(self, name: str) -> None:
        """A tensor that no array can be the value of is refused."""
        number = getattr(tflite_models.TensorType, name)
        content = tflite_models.copy(tflite_models.Tensor("x", [1], number))
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            f"a type of arrays; got TensorType {number} for x",
        ):
            _signatures(content)

    def test_open_sizes_are_shown_as_such(self) -> None:
        """A size that is open is -1, and None for batching."""
        found = _signatures(tflite_models.copy(_OPEN))
        info = found.definitions["serving_default"].inputs["x"]
        self.assertEqual([dim.size for dim in info.tensor_shape.dim], [-1, 2])
        spec = found.tensors["x:0"].spec
        self.assertEqual(spec.shape, (None, 2))
        self.assertEqual(spec.dtype, np.dtype(np.float32))

    @parameterized.parameters((True, ()), (False, None))
    def test_rank_that_is_not_known_is_shown_as_such(
        self, has_rank: bool, shape: tuple[int, ...] | None
    ) -> None:
        """A scalar differs from a tensor of unknown rank."""
        tensor = tflite_models.Tensor("x", has_rank=has_rank)
        found = _signatures(tflite_models.copy(tensor))
        info = found.definitions["serving_default"].inputs["x"]
        self.assertEqual(info.tensor_shape.unknown_rank, not has_rank)
        self.assertEqual(found.tensors["x:0"].spec.shape, shape)
        self.assertTrue(found.tensors["x:0"].fits(()))
        self.assertEqual(found.tensors["x:0"].fits((2, 3)), not has_rank)


class TensorTest(parameterized.TestCase):
    """Tests of the shapes that a tensor can be given."""

    @parameterized.parameters(
        # An open number of rows, as today's converter says it.
        ([1, 2], [-1, 2], (3, 2), True),
        ([1, 2], [-1, 2], (3, 1), False),
        ([1, 2], [-1, 2], (3,), False),
        ([1, 2], [-1, 2], (3, 2, 1), False),
        ([1, 1], [-1, -1], (3, 4), True),
        ([1, 1], [-1, 1], (3,), True),
        # Rows that may be open, for all that an old converter said.
        ([1, 2], None, (3, 2), True),
        ([1, 2], None, (1, 4), False),
        ([1, 1], None, (3,), True),
        ([1, 1], None, (3, 2), False),
        # Sizes that are fixed.
        ([4, 2], None, (4, 2), True),
        ([4, 2], None, (3, 2), False),
        ([4, 1], None, (3,), False),
        ([], None, (), True),
        ([], None, (1,), False),
    )
    def test_shape_must_be_one_that_the_model_allows(
        self,
        shape: list[int],
        shape_signature: list[int] | None,
        given: tuple[int, ...],
        is_right: bool,
    ) -> None:
        """A tensor takes those shapes only that its model leaves open."""
        tensor = tflite_models.Tensor(
            "x", shape, shape_signature=shape_signature
        )
        found = _signatures(tflite_models.copy(tensor))
        self.assertEqual(found.tensors["x:0"].fits(given), is_right)


if __name__ == "__main__":
    absltest.main()
