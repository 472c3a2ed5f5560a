"""Tests for signature_defs."""

from absl.testing import absltest

from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
    signature_defs,
)
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import errors

_Bundle = session_bundle.SessionBundle[session_lib.Session]


class SignatureDefsTest(absltest.TestCase):
    """Tests with the export half plus two, whose signatures a test replaces."""

    bundle: _Bundle

    @classmethod
    def setUpClass(cls) -> None:
        """Loads the export."""
        super().setUpClass()
        factory = session_bundle_factory.SessionBundleFactory.create(
            session_bundle_config_pb2.SessionBundleConfig()
        )
        cls.addClassCleanup(factory.close)
        path = written_models.copy(
            written_models.HALF_PLUS_TWO,
            absltest.get_default_test_tmpdir() + "/half_plus_two",
        )
        cls.bundle = factory.create_session_bundle(path)
        cls.addClassCleanup(cls.bundle.close)

    def _convert(
        self, signatures: manifest_pb2.Signatures
    ) -> dict[str, tuple[str, dict[str, str], dict[str, str]]]:
        """Returns method, inputs and outputs of each signature."""
        signature.set_signatures(signatures, self.bundle.meta_graph_def)
        return {
            name: (
                definition.method_name.rpartition("/")[2],
                {key: info.name for key, info in definition.inputs.items()},
                {key: info.name for key, info in definition.outputs.items()},
            )
            for name, definition in signature_defs.signature_defs(
                self.bundle
            ).items()
        }

    def test_default_signature_becomes_the_serving_default(self) -> None:
        """A regression has the names that Regress looks for."""
        signatures = manifest_pb2.Signatures()
        regression = signatures.default_signature.regression_signature
        regression.input.tensor_name = "x:0"
        regression.output.tensor_name = "y:0"
        self.assertEqual(
            self._convert(signatures),
            {
                "serving_default": (
                    "regress",
                    {"inputs": "x:0"},
                    {"outputs": "y:0"},
                )
            },
        )
        definition = signature_defs.signature_defs(self.bundle)[
            "serving_default"
        ]
        info = definition.inputs["inputs"]
        self.assertEqual(info.dtype, types_pb2.DT_FLOAT)
        self.assertEqual(info.tensor_shape.dim[0].size, -1)

    def test_inputs_and_outputs_become_one_to_predict_with(self) -> None:
        """It is the default, unless there is one."""
        signatures = manifest_pb2.Signatures()
        for name, tensor in (("inputs", "x:0"), ("outputs", "y:0")):
            generic = signatures.named_signatures[name].generic_signature
            generic.map["tensor"].tensor_name = tensor
        one = ("predict", {"tensor": "x:0"}, {"tensor": "y:0"})
        self.assertEqual(self._convert(signatures), {"serving_default": one})
        classification = signatures.default_signature.classification_signature
        classification.input.tensor_name = "x:0"
        classification.scores.tensor_name = "y:0"
        self.assertEqual(
            self._convert(signatures),
            {
                "predict": one,
                "serving_default": (
                    "classify",
                    {"inputs": "x:0"},
                    {"scores": "y:0"},
                ),
            },
        )

    def test_placeholders_are_the_inputs_of_a_generic_signature(self) -> None:
        """One without an input or an output is left out."""
        signatures = manifest_pb2.Signatures()
        named = signatures.named_signatures
        named["both"].generic_signature.map["in"].tensor_name = "tf_example:0"
        named["both"].generic_signature.map["out"].tensor_name = "y:0"
        named["one"].generic_signature.map["out"].tensor_name = "y:0"
        self.assertEqual(
            self._convert(signatures),
            {"both": ("predict", {"in": "tf_example:0"}, {"out": "y:0"})},
        )

    def test_tensor_that_is_not_in_the_graph_is_named(self) -> None:
        """The load fails, not each request."""
        signatures = manifest_pb2.Signatures()
        regression = signatures.default_signature.regression_signature
        regression.input.tensor_name = "lost:0"
        regression.output.tensor_name = "y:0"
        with self.assertRaisesRegex(errors.FailedPreconditionError, "lost"):
            self._convert(signatures)


if __name__ == "__main__":
    absltest.main()
