"""Tests for model_mutations."""

from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import model_mutations
from tensorflow_serving.tensorflow_c.protos import (
    meta_graph_pb2,
    saved_model_pb2,
)
from tensorflow_serving.test_util import graph_builder, tflite_models


def _meta_graph() -> meta_graph_pb2.MetaGraphDef:
    graph = graph_builder.GraphBuilder()
    graph.placeholder("x", "float32", [None])
    graph.node("y", "Neg", ["x"], T="float32")
    return meta_graph_pb2.MetaGraphDef(graph_def=graph.graph_def)


class ModelMutationsTest(parameterized.TestCase):
    """Broken files of models."""

    @parameterized.named_parameters(
        (
            "meta_graph",
            model_mutations.mutate_meta_graph,
            _meta_graph().SerializeToString(),
        ),
        (
            "saved_model",
            model_mutations.mutate_saved_model,
            saved_model_pb2.SavedModel(
                meta_graphs=[_meta_graph()]
            ).SerializeToString(),
        ),
        (
            "tflite_model",
            model_mutations.mutate_tflite_model,
            tflite_models.half_plus(2),
        ),
    )
    def test_seed_decides_how_a_file_is_broken(
        self, mutate: Callable[[bytes, int], bytes], content: bytes
    ) -> None:
        """The same seed breaks it in the same way, most others in another."""
        broken = [mutate(content, seed) for seed in range(200)]
        self.assertEqual(broken, [mutate(content, seed) for seed in range(200)])
        self.assertGreater(len(set(broken)), 100)


if __name__ == "__main__":
    absltest.main()
