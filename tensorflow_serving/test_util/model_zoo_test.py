"""Tests for model_zoo."""

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import model_zoo


class ModelZooTest(parameterized.TestCase):
    """Tests of the table of models of all kinds."""

    def test_names_differ(self) -> None:
        """Each model has a folder of its own."""
        names = [model.name for model in model_zoo.MODELS]
        self.assertCountEqual(names, {*names})

    @parameterized.named_parameters(
        (model.name, model)
        for model in model_zoo.MODELS
        if model.support is model_zoo.Support.BATCHED
    )
    def test_calls_do_not_fill_a_batch(self, model: model_zoo.Model) -> None:
        """If calls are merged, the batch is padded, which a test can see."""
        rows = [
            max(array.shape[0] for array in example.inputs.values())
            for example in model.examples
        ]
        self.assertGreater(len(rows), 1)
        self.assertLess(sum(rows), model_zoo.MAX_ROWS)

    @parameterized.named_parameters(
        (model.name, model) for model in model_zoo.MODELS
    )
    def test_what_is_not_served_has_a_reason(
        self, model: model_zoo.Model
    ) -> None:
        """An error goes with its text, and with a model that fails."""
        fails = model.support in (
            model_zoo.Support.FAILS,
            model_zoo.Support.REFUSED,
        )
        self.assertEqual(model.error is not None, fails)
        self.assertEqual(bool(model.text), fails)


if __name__ == "__main__":
    absltest.main()
