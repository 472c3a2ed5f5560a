"""Tests for version_name."""

from absl.testing import absltest, parameterized

from tensorflow_serving.util import version_name


class VersionNameTest(parameterized.TestCase):
    """Names of folders that are, or are not, those of versions."""

    @parameterized.parameters(
        ("0", 0),
        ("7", 7),
        ("00000123", 123),
        ("000000000000000000000000000000000000001", 1),
        ("0" * 5000, 0),
        ("9223372036854775807", 2**63 - 1),
    )
    def test_ascii_digits_are_a_version(self, name: str, version: int) -> None:
        """Leading zeros do not count."""
        self.assertEqual(version_name.parse(name), version)

    @parameterized.parameters(
        "",
        "+1",
        "-1",
        "1.0",
        "1 ",
        " 1",
        "1\n",
        "1_0",
        "1e3",
        "0x1",
        "\u0661",
        "\u00b2",
        "latest",
        "00000001-tmp",
    )
    def test_other_characters_make_it_another_name(self, name: str) -> None:
        """Characters that only int() takes for digits make no version."""
        self.assertIsNone(version_name.parse(name))

    @parameterized.parameters(
        "9223372036854775808", "20241125090744123456", "1" * 5000
    )
    def test_number_above_int64_is_not_a_version(self, name: str) -> None:
        """No message could hold it."""
        self.assertIsNone(version_name.parse(name))


if __name__ == "__main__":
    absltest.main()
