"""Tests for examples."""

from absl.testing import absltest

from tensorflow_serving.apis import input_pb2
from tensorflow_serving.servables.tensorflow import examples
from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.util import errors

_MEGABYTE = 1 << 20


def _example(key: str, text: bytes) -> example_pb2.Example:
    example = example_pb2.Example()
    example.features.feature[key].bytes_list.value.append(text)
    return example


class ExamplesTest(absltest.TestCase):
    """The examples of requests."""

    def test_context_comes_first_in_each_example(self) -> None:
        """A feature that both have is that of the example."""
        own = input_pb2.Input()
        with_context = own.example_list_with_context
        with_context.context.CopyFrom(_example("a", b"context"))
        with_context.examples.append(_example("b", b"own"))
        with_context.examples.append(_example("a", b"own"))
        merged = [
            example_pb2.Example.FromString(each)
            for each in examples.serialized(own)
        ]
        both = _example("a", b"context")
        both.MergeFrom(_example("b", b"own"))
        self.assertEqual(merged, [both, _example("a", b"own")])

    def test_context_does_not_make_a_small_request_large(self) -> None:
        """An empty example takes two bytes, and has a copy of the context."""
        own = input_pb2.Input()
        with_context = own.example_list_with_context
        with_context.context.CopyFrom(_example("a", bytes(_MEGABYTE)))
        for _ in range(63):
            with_context.examples.add()
        self.assertEqual(examples.serialized(own).shape, (63,))
        with_context.examples.add()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "context must be at most 64 MiB"
        ):
            examples.serialized(own)

    def test_input_without_examples_is_refused(self) -> None:
        """It does not matter in which list they are missing."""
        own = input_pb2.Input()
        with self.assertRaisesRegex(errors.InvalidArgumentError, "is empty"):
            examples.serialized(own)
        own.example_list_with_context.context.CopyFrom(_example("a", b"b"))
        with self.assertRaisesRegex(errors.InvalidArgumentError, "is empty"):
            examples.serialized(own)


if __name__ == "__main__":
    absltest.main()
