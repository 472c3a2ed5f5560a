"""Tests for requested_version."""

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import requested_version
from tensorflow_serving.util import errors

_LABELS = {"m": {"stable": 3}}


def _find(spec: str, *available: int) -> servable.ServableRequest:
    return requested_version.find(
        text_format.Parse(spec, model_pb2.ModelSpec()),
        _LABELS,
        lambda name, version: name == "m" and version in available,
    )


class RequestedVersionTest(parameterized.TestCase):
    """Requests for versions of model m."""

    @parameterized.named_parameters(
        ("none", "", (0,), None),
        ("number", "version { value: 2 }", (), 2),
        ("0_is_the_newest", "version { value: 0 }", (7,), None),
        ("0_is_there", "version { value: 0 }", (0, 7), 0),
        ("label", 'version_label: "stable"', (), 3),
        ("empty_number", "version {}", (7,), None),
    )
    def test_request_names_a_version_or_means_the_newest(
        self, choice: str, available: tuple[int, ...], version: int | None
    ) -> None:
        """A version need not be there, unless it is version 0."""
        found = _find(f'name: "m" {choice}', *available)
        self.assertEqual((found.name, found.version), ("m", version))

    @parameterized.parameters(
        ("", "^ModelSpec has no name specified$"),
        ('name: "m" version_label: "q"', "label: q of model m; .*stable"),
        ('name: "other" version_label: "stable"', "of model other"),
    )
    def test_request_that_names_nothing_is_refused(
        self, spec: str, text: str
    ) -> None:
        """A model has the labels of its own configuration only."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            _find(spec)

    def test_text_of_a_missing_version_is_that_of_the_original(self) -> None:
        """It says whether the newest version was asked for, or which one."""
        for request, text in (
            (servable.ServableRequest.latest("m"), "Latest(m)"),
            (servable.ServableRequest.specific("m", 3), "Specific(m, 3)"),
        ):
            self.assertEqual(
                str(requested_version.not_found(request)),
                f"Servable not found for request: {text}",
            )


if __name__ == "__main__":
    absltest.main()
