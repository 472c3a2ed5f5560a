"""Tests for setting."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import setting
from tensorflow_serving.util import errors


class SettingTest(parameterized.TestCase):
    """What scenarios have in common."""

    @parameterized.parameters(
        ("concurrency", {"concurrency": 0}),
        ("poll_seconds", {"poll_seconds": 0.0}),
    )
    def test_value_out_of_range_is_named(
        self, name: str, values: dict[str, float]
    ) -> None:
        """No scenario would come to its end with it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, name):
            setting.Setting(**values)  # type: ignore[arg-type]


if __name__ == "__main__":
    absltest.main()
