"""Tests for warm_up_flags."""

from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.model_servers import warm_up_flags
from tensorflow_serving.servables.tensorflow import model_warm_up


class WarmUpFlagsTest(parameterized.TestCase):
    """Tests of the options that the flags make."""

    @parameterized.parameters(
        ({}, model_warm_up.Options()),
        (
            {"num_request_iterations_for_warmup": 3},
            model_warm_up.Options(num_request_iterations=3),
        ),
        (
            {"model_warmup_timeout_seconds": 5.0},
            model_warm_up.Options(timeout_seconds=5.0),
        ),
        (
            {"require_model_warmup": True},
            model_warm_up.Options(is_required=True),
        ),
        ({"enable_model_warmup": False, "require_model_warmup": True}, None),
    )
    def test_each_flag_is_an_option(
        self,
        values: dict[str, bool | float],
        options: model_warm_up.Options | None,
    ) -> None:
        """A flag sets its option, and one of them turns warm-ups off."""
        with flagsaver.flagsaver(**values):
            self.assertEqual(warm_up_flags.options(), options)


if __name__ == "__main__":
    absltest.main()
