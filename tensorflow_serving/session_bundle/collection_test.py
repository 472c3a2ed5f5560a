"""Tests for collection."""

from absl.testing import absltest
from google.protobuf import any_pb2

from tensorflow_serving.session_bundle import collection, manifest_pb2
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors


class CollectionTest(absltest.TestCase):
    """Messages in the collections of a MetaGraphDef."""

    def _meta_graph_def(
        self, *values: any_pb2.Any
    ) -> meta_graph_pb2.MetaGraphDef:
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        meta_graph_def.collection_def["key"].any_list.value.extend(values)
        return meta_graph_def

    def test_packed_messages_are_unpacked_in_order(self) -> None:
        """Messages that are packed into a collection come out in order."""
        files = [
            manifest_pb2.AssetFile(filename="a"),
            manifest_pb2.AssetFile(filename="b"),
        ]
        meta_graph_def = self._meta_graph_def(*map(collection.pack, files))
        self.assertEqual(
            collection.unpack_all(
                meta_graph_def, "key", manifest_pb2.AssetFile
            ),
            files,
        )

    def test_missing_collection_is_empty_and_stays_missing(self) -> None:
        """Looking does not change the MetaGraphDef."""
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        self.assertEqual(
            collection.unpack_all(
                meta_graph_def, "key", manifest_pb2.AssetFile
            ),
            [],
        )
        self.assertNotIn("key", meta_graph_def.collection_def)

    def test_value_of_another_type_is_an_error(self) -> None:
        """It names the collection and both types."""
        meta_graph_def = self._meta_graph_def(
            collection.pack(manifest_pb2.Signatures())
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "tensorflow.serving.AssetFile: .* collection key .*; got "
            "type.googleapis.com/tensorflow.serving.Signatures",
        ):
            collection.unpack_all(meta_graph_def, "key", manifest_pb2.AssetFile)

    def test_corrupt_value_is_an_error(self) -> None:
        """The type is right, the bytes are not."""
        packed = collection.pack(manifest_pb2.AssetFile(filename="name"))
        packed.value = packed.value[:-1]
        with self.assertRaises(errors.FailedPreconditionError):
            collection.unpack_all(
                self._meta_graph_def(packed), "key", manifest_pb2.AssetFile
            )


if __name__ == "__main__":
    absltest.main()
