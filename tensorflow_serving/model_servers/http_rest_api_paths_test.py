"""Tests for http_rest_api_paths."""

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.model_servers import http_rest_api_paths
from tensorflow_serving.util import errors


class HttpRestApiPathsTest(parameterized.TestCase):
    """The paths of requests."""

    @parameterized.parameters(
        ("POST", "/v1/models/m:predict", "predict", 'name: "m"'),
        ("POST", "/V1/MODELS/M:regress", "regress", 'name: "M"'),
        (
            "POST",
            "/v1/models/m/versions/007:classify",
            "classify",
            'name: "m" version { value: 7 }',
        ),
        (
            "POST",
            "/v1/models/m/labels/a%2Fb:predict",
            "predict",
            'name: "m" version_label: "a/b"',
        ),
        ("POST", "/v1/models/%C3%A9%3A:predict", "predict", 'name: "é:"'),
        ("GET", "/v1/models/m", "status", 'name: "m"'),
        ("GET", "/v1/models/m/metadata", "metadata", 'name: "m"'),
        (
            "GET",
            "/v1/models/m/versions/9223372036854775807/metadata",
            "metadata",
            'name: "m" version { value: 9223372036854775807 }',
        ),
        (
            "GET",
            "/v1/models/m/labels/stable",
            "status",
            'name: "m" version_label: "stable"',
        ),
    )
    def test_path_names_a_method_and_a_model(
        self, http_method: str, path: str, method: str, spec: str
    ) -> None:
        """Names are decoded; a path may be in capital letters."""
        target = http_rest_api_paths.parse(http_method, path)
        self.assertEqual(target.method, method)
        self.assertEqual(
            target.spec, text_format.Parse(spec, model_pb2.ModelSpec())
        )

    @parameterized.parameters(
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:multi_inference"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/m/versions/x:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/٣:predict"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/m/more:predict"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/other"),
        ("PUT", "/v1/models/m"),
        ("HEAD", "/v1/models/m"),
        ("DELETE", "/v1/models/m:predict"),
    )
    def test_other_path_is_malformed(self, method: str, path: str) -> None:
        """The text is the one that clients know."""
        with self.assertRaises(errors.InvalidArgumentError) as raised:
            http_rest_api_paths.parse(method, path)
        self.assertEqual(
            str(raised.exception), f"Malformed request: {method} {path}"
        )

    @parameterized.parameters("9223372036854775808", "1" * 5000)
    def test_version_must_be_an_int64(self, version: str) -> None:
        """A number of any length is refused, and leading zeros are not."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "Failed to convert version: .*numeric"
        ):
            http_rest_api_paths.parse("GET", f"/v1/models/m/versions/{version}")
        target = http_rest_api_paths.parse(
            "GET", f"/v1/models/m/versions/{'0' * 5000}1"
        )
        self.assertEqual(target.spec.version.value, 1)

    @parameterized.parameters(
        "/V1/models",
        "/v1/models/versions/1",
        "/v1/models/labels/a/metadata",
    )
    def test_model_must_be_named(self, path: str) -> None:
        """A version of no model is not malformed, as in the original."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^Missing model name in request.$"
        ):
            http_rest_api_paths.parse("GET", path)

    def test_name_must_be_utf8(self) -> None:
        """No model has a name that is no text."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "name must be percent-encoded UTF-8"
        ):
            http_rest_api_paths.parse("GET", "/v1/models/%FF")


if __name__ == "__main__":
    absltest.main()
