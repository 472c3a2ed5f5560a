"""Tests for get_model_metadata."""

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.servables.tensorflow import (
    get_model_metadata,
)
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors


class GetModelMetadataTest(parameterized.TestCase):
    """Tests of requests to a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)

    def test_signatures_are_packed(self) -> None:
        """The metadata is a SignatureDefMap under the name of the field."""
        response = get_model_metadata.get_model_metadata(
            self.small.version,
            get_model_metadata_pb2.GetModelMetadataRequest(
                metadata_field=["signature_def"]
            ),
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        self.assertTrue(response.metadata["signature_def"].Unpack(signatures))
        self.assertEqual(
            dict(signatures.signature_def), self.small.model.signature_defs
        )
        self.assertEqual(response.model_spec.version.value, 7)
        self.assertEqual(response.model_spec.signature_name, "")

    @parameterized.parameters(([],), (["other"],), (["signature_def", "q"],))
    def test_other_fields_are_refused(self, fields: list[str]) -> None:
        """There is one field, and it must be asked for."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, 'must be "signature_def"; got'
        ):
            get_model_metadata.get_model_metadata(
                self.small.version,
                get_model_metadata_pb2.GetModelMetadataRequest(
                    metadata_field=fields
                ),
            )


if __name__ == "__main__":
    absltest.main()
