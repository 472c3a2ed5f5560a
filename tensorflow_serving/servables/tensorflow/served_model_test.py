"""Tests for served_model."""

import itertools

from absl.testing import absltest

from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    served_model,
)
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.test_util import fake_session, small_model


class ServedModelTest(absltest.TestCase):
    """Tests with a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        small = small_model.SmallModel()
        self.addCleanup(small.close)
        self.model = small.model

    def test_function_of_a_signature_is_made_once(self) -> None:
        """Calls for the same outputs can share a batch."""
        one = self.model.function("serving_default", ["y"])
        self.assertIs(self.model.function("serving_default", ["y"]), one)
        self.assertIsNot(self.model.function("serving_default", ["z"]), one)
        self.assertIsNot(
            self.model.function("regress", ["outputs"]),
            self.model.function("regress_column", ["outputs"]),
        )

    def test_only_some_choices_of_outputs_run_as_they_are(self) -> None:
        """All outputs are run for others; the order makes no difference."""
        self.assertEqual(
            self.model.fetched("serving_default", ["z", "y"]), ["y", "z"]
        )
        keys = sorted(self.model.signature_defs["types"].outputs)
        choices = [*itertools.combinations(keys, 2)]
        fetched = [self.model.fetched("types", choice) for choice in choices]
        self.assertEqual(fetched[:32], [[*choice] for choice in choices[:32]])
        self.assertEqual(fetched[32:], [keys] * (len(choices) - 32))
        again = [self.model.fetched("types", choice) for choice in choices]
        self.assertEqual(again, fetched)

    def test_signature_without_rows_runs_alone_from_the_start(self) -> None:
        """Shapes of the graph or of the signature say so before any call."""
        definition = meta_graph_pb2.SignatureDef()
        definition.inputs["x"].name = "x:0"
        definition.outputs["y"].name = "y:0"
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        names = ("rows", "scalar_in_graph", "scalar_in_signature", "no_input")
        for name in (*names, "__saved_model_init_op", "lost"):
            meta_graph_def.signature_def[name].CopyFrom(definition)
        signatures = meta_graph_def.signature_def
        signatures["scalar_in_graph"].outputs["y"].name = "sum:0"
        # A shape without dimensions.
        signatures["scalar_in_signature"].inputs["x"].tensor_shape.SetInParent()
        signatures["no_input"].inputs.clear()
        signatures["lost"].outputs["y"].name = "lost in the graph:0"
        threads = batch_threads.BatchThreads(batch_threads.Options())
        self.addCleanup(threads.close)
        session = fake_session.FakeSession(output_shapes={"sum:0": ()})
        model = served_model.ServedModel(
            session_bundle.SessionBundle(session, meta_graph_def), threads
        )
        self.addCleanup(model.close)
        self.assertEqual(
            model.signatures_run_alone(),
            ["no_input", "scalar_in_graph", "scalar_in_signature"],
        )
        self.assertEqual(session.inputs, [])

    def test_model_shows_its_signatures(self) -> None:
        """A debugger shows more than an address."""
        self.assertIn("serving_default", repr(self.model))


if __name__ == "__main__":
    absltest.main()
