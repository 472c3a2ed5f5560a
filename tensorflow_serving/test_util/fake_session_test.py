"""Tests for fake_session."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import fake_session
from tensorflow_serving.util import errors


class FakeSessionTest(parameterized.TestCase):
    """A session that computes half plus two."""

    def test_outputs_come_in_the_order_of_the_fetches(self) -> None:
        """Outputs are in the order of the fetches; runs are recorded by x:0."""
        session = fake_session.FakeSession()
        run = session.make_callable(
            ["sum:0", "y:0", "x:0", "wide:0"], ["z:0", "x:0"]
        )
        outputs = run(np.zeros([2]), np.array([2.0, 4.0]))
        for output, expected in zip(
            outputs, [6, [3, 4], [2, 4], np.zeros([2, 2])], strict=True
        ):
            np.testing.assert_array_equal(output, expected)
        np.testing.assert_array_equal(session.inputs, [[2, 4]])

    @parameterized.parameters(
        ("picky:0", errors.OutOfRangeError),
        ("lost:0", errors.DataLossError),
        ("busy:0", errors.UnavailableError),
        ("broken:0", ZeroDivisionError),
        ("exit:0", SystemExit),
    )
    def test_some_outputs_fail(
        self, name: str, error: type[BaseException]
    ) -> None:
        """Some outputs fail, and each does so in its own way."""
        run = fake_session.FakeSession().make_callable([name], ["x:0"])
        with self.assertRaises(error):
            run(np.array([-1.0]))

    def test_picky_output_likes_positive_numbers(self) -> None:
        """A picky output takes positive numbers."""
        run = fake_session.FakeSession().make_callable(["picky:0"], ["x:0"])
        np.testing.assert_array_equal(run(np.array([0.0, 2.0])), [[2, 3]])

    def test_shape_is_that_of_the_inputs(self) -> None:
        """The inputs have the shape that was given, or any."""
        for shape in (None, (None, 2)):
            spec = fake_session.FakeSession(shape).tensor_spec("z:0")
            self.assertEqual(spec.shape, shape)
            self.assertEqual(spec.dtype, np.float64)

    def test_shapes_of_outputs_are_those_given(self) -> None:
        """An output may have any shape unless a test says otherwise."""
        session = fake_session.FakeSession((1,), {"sum:0": ()})
        self.assertEqual(session.tensor_spec("sum:0").shape, ())
        self.assertIsNone(session.tensor_spec("y:0").shape)

    def test_unknown_names_are_invalid(self) -> None:
        """Unknown names are invalid, as they are for a real session."""
        session = fake_session.FakeSession()
        with self.assertRaises(errors.InvalidArgumentError):
            session.tensor_spec("unknown:0")
        with self.assertRaises(errors.InvalidArgumentError):
            session.make_callable(["z:0"], ["x:0"])

    def test_close_is_recorded(self) -> None:
        """A session records that it was closed."""
        session = fake_session.FakeSession()
        self.assertFalse(session.closed)
        session.close()
        self.assertTrue(session.closed)


if __name__ == "__main__":
    absltest.main()
