"""Tests for version_labels."""

from absl.testing import absltest, parameterized

from tensorflow_serving.model_servers import model_configs, version_labels
from tensorflow_serving.util import errors


def _models(**labels: int) -> list[model_configs.ModelConfig]:
    return [model_configs.ModelConfig("m", "/m", version_labels=labels)]


def _is_available(name: str, version: int) -> bool:
    """Versions below 10 are."""
    return version < 10


class AssignedTest(parameterized.TestCase):
    """Tests of what a new configuration may do with labels."""

    @parameterized.named_parameters(
        ("new", {}, {"a": 1}, False),
        ("moved", {"a": 1}, {"a": 2}, False),
        ("two_for_one", {}, {"a": 1, "b": 1}, False),
        ("left_out", {"a": 1}, {}, False),
        ("new_and_unavailable", {}, {"a": 11}, True),
        ("unavailable_and_stays", {"a": 11}, {"a": 11}, True),
    )
    def test_labels_that_may_be_assigned(
        self, before: dict[str, int], after: dict[str, int], allows: bool
    ) -> None:
        """The labels are those of the configuration."""
        self.assertEqual(
            version_labels.assigned(
                _models(**after),
                {"m": before},
                _is_available,
                allows_unavailable=allows,
            ),
            {"m": after},
        )

    @parameterized.named_parameters(
        ("new", {}, {"a": 11}, False),
        ("stays", {"a": 11}, {"a": 11}, False),
        ("moved", {"a": 1}, {"a": 11}, True),
    )
    def test_labels_that_must_wait_for_their_version(
        self, before: dict[str, int], after: dict[str, int], allows: bool
    ) -> None:
        """Callers of a label must not lose the version that they had."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "not currently available for inference",
        ):
            version_labels.assigned(
                _models(**after),
                {"m": before},
                _is_available,
                allows_unavailable=allows,
            )


class VersionTest(absltest.TestCase):
    """Tests of looking a label up."""

    def test_label_leads_to_its_version(self) -> None:
        """Each model has labels of its own."""
        labels = {"m": {"a": 1}, "n": {"a": 2}}
        self.assertEqual(version_labels.version(labels, "n", "a"), 2)

    def test_unknown_label_is_the_fault_of_the_caller(self) -> None:
        """The text says which labels there are."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            r"Unrecognized servable version label: b .*\['a'\]",
        ):
            version_labels.version({"m": {"a": 1}}, "m", "b")


if __name__ == "__main__":
    absltest.main()
