"""Tests for json_examples."""

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.apis import input_pb2, json_document, json_examples
from tensorflow_serving.util import errors


def _examples(text: str) -> input_pb2.Input:
    return json_examples.examples(json_document.parse(text.encode()))


class JsonExamplesTest(parameterized.TestCase):
    """The examples of requests to Classify and Regress."""

    @parameterized.named_parameters(
        ("whole", "1", "int64_list { value: 1 }"),
        ("decimal", "1.0", "float_list { value: 1 }"),
        ("bool", "true", "int64_list { value: 1 }"),
        ("whole_and_bool", "[2, false]", "int64_list { value: [2, 0] }"),
        ("decimals", "[0.5, -Infinity]", "float_list { value: [0.5, -inf] }"),
        ("string", '"é"', r'bytes_list { value: "\303\251" }'),
        ("base64", '{"b64": "/w=="}', r'bytes_list { value: "\377" }'),
        (
            "strings",
            '["a", {"b64": "/w=="}]',
            r'bytes_list { value: ["a", "\377"] }',
        ),
        ("none", "[]", ""),
        ("largest_float", "3.4028235e38", "float_list { value: 3.4028235e38 }"),
        (
            "largest",
            "9223372036854775807",
            "int64_list { value: 9223372036854775807 }",
        ),
        (
            "beyond_uint64",
            "18446744073709551616",
            "float_list { value: 18446744073709551616 }",
        ),
    )
    def test_value_decides_the_kind_of_a_feature(
        self, value: str, feature: str
    ) -> None:
        """A whole number and a decimal one are features of different kinds."""
        self.assertEqual(
            _examples(f'{{"examples": [{{"x": {value}}}]}}'),
            text_format.Parse(
                "example_list { examples { features { "
                f'feature {{ key: "x" value {{ {feature} }} }} }} }} }}',
                input_pb2.Input(),
            ),
        )

    def test_context_is_shared_by_the_examples(self) -> None:
        """A request with a context is sent as one to the model."""
        found = _examples('{"context": {"a": 1}, "examples": [{"b": 2}, {}]}')
        shared = found.example_list_with_context
        self.assertIn("a", shared.context.features.feature)
        self.assertEqual(len(shared.examples), 2)
        self.assertIn("b", shared.examples[0].features.feature)

    @parameterized.named_parameters(
        ("no_key", "{}", "at least one example; got none"),
        ("no_example", '{"examples": []}', "at least one example; got none"),
        ("not_a_list", '{"examples": {"x": 1}}', "got an object"),
        ("not_an_object", '{"examples": [1]}', "got a whole number"),
        ("context", '{"context": [{}]}', "Example must be .*; got a list"),
    )
    def test_request_without_examples_is_refused(
        self, text: str, error: str
    ) -> None:
        """A request has at least one example, each an object."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            _examples(text)

    @parameterized.named_parameters(
        ("null", "null", "has element with unexpected JSON type: Null"),
        ("nested", "[[1], 2]", "has element with unexpected JSON type: Array"),
        ("object", '{"a": 1}', "has element with unexpected JSON type: Object"),
        ("objects", '["a", {}]', "unexpected JSON type: Object"),
        ("number_and_object", '[1, {"a": 1}]', "unexpected JSON type: Object"),
        ("whole_and_null", "[1, null]", "unexpected JSON type: Null"),
        ("bad_base64", '["a", {"b64": "A"}]', "formatted correctly for base64"),
        ("whole_and_decimal", "[1, 1.5]", "expecting type: int64; got a dec"),
        (
            "decimal_and_bool",
            "[1.5, true]",
            "type: float; got a bool",
        ),
        ("string_and_whole", '["a", 1]', "expecting type: bytes; got a whole"),
        ("beyond_int64", "9223372036854775808", "Only int64 is supported"),
        ("beyond_float32", "[1.5, 1e39]", "without loss of precision"),
    )
    def test_value_that_no_feature_has_is_refused(
        self, value: str, error: str
    ) -> None:
        """The error names the feature, and no value."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"(?i)feature: x .*{error}"
        ):
            _examples(f'{{"examples": [{{"x": {value}}}]}}')


if __name__ == "__main__":
    absltest.main()
