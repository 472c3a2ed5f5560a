"""Tests for served_model."""

from absl.testing import absltest

from tensorflow_serving.test_util import small_model


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

    def test_model_shows_its_signatures(self) -> None:
        """A debugger shows more than an address."""
        self.assertIn("serving_default", repr(self.model))


if __name__ == "__main__":
    absltest.main()
