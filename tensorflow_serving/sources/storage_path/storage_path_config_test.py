"""Tests for storage_path_config."""

from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import storage_path_config
from tensorflow_serving.util import errors

_A = storage_path_config.ServableToMonitor("a", "/a")


class StoragePathConfigTest(parameterized.TestCase):
    """Values are checked when they are set."""

    @parameterized.named_parameters(
        ("no_name", lambda: storage_path_config.ServableToMonitor("", "/a")),
        ("no_path", lambda: storage_path_config.ServableToMonitor("a", "")),
        ("same_name_twice", lambda: storage_path_config.Config((_A, _A))),
        ("latest_0", lambda: storage_path_config.Latest(0)),
        ("version_below_0", lambda: storage_path_config.Specific((1, -1))),
    )
    def test_bad_value_is_refused(self, make: Callable[[], object]) -> None:
        """A bad value is an INVALID_ARGUMENT."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be .*; got "
        ):
            make()

    def test_defaults_serve_the_latest_version(self) -> None:
        """A source looks once a second; an empty folder is a lost one."""
        config = storage_path_config.Config((_A,))
        self.assertEqual(
            config.servables[0].version_policy, storage_path_config.Latest(1)
        )
        self.assertEqual(config.file_system_poll_wait_seconds, 1.0)
        self.assertTrue(config.servable_versions_always_present)
        self.assertFalse(config.fail_if_zero_versions_at_startup)


if __name__ == "__main__":
    absltest.main()
