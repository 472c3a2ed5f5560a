"""Tests for signature."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized
from google.protobuf import text_format
from typing_extensions import override

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    manifest_pb2,
    signature,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors, tensor_spec

_REGRESSION = """
  regression_signature {
    input { tensor_name: "in:0" } output { tensor_name: "out:0" }
  }
"""
_CLASSIFICATION = """
  classification_signature {
    input { tensor_name: "in:0" }
    classes { tensor_name: "classes:0" }
    scores { tensor_name: "scores:0" }
  }
"""
_GENERIC = """
  generic_signature {
    map { key: "a" value { tensor_name: "a:0" } }
    map { key: "b" value { tensor_name: "b:0" } }
  }
"""


def _signature(text: str) -> manifest_pb2.Signature:
    return text_format.Parse(text, manifest_pb2.Signature())


def _export(
    default: str | None = None, **named: str
) -> meta_graph_pb2.MetaGraphDef:
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    signature.set_signatures(
        manifest_pb2.Signatures(
            default_signature=None if default is None else _signature(default),
            named_signatures={
                name: _signature(text) for name, text in named.items()
            },
        ),
        meta_graph_def,
    )
    return meta_graph_def


class _Session:
    """Returns given outputs, or raises; records what it was asked."""

    def __init__(self, *outputs: Sequence[object]) -> None:
        self._outputs = [np.array(output) for output in outputs]
        self.fetches: list[str] = []
        self.feeds: list[str] = []

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Returns the outputs, whatever was asked for."""
        self.fetches, self.feeds = list(fetches), list(feed_dict)
        return self._outputs

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns a function that returns the outputs."""
        return lambda *feeds: self.run(
            fetches, dict(zip(feed_list, feeds, strict=True))
        )

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns a spec that any array fits."""
        return tensor_spec.TensorSpec(name, np.dtype(np.float64), None)

    def close(self) -> None:
        """Has nothing to free."""


class _LostSession(_Session):
    """Always fails."""

    @override
    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        raise errors.DataLossError("data is gone")


class GetSignatureTest(parameterized.TestCase):
    """Signatures out of a MetaGraphDef."""

    def test_set_signatures_replaces_what_was_there(self) -> None:
        """There is always exactly one Signatures message."""
        meta_graph_def = _export(_REGRESSION)
        wanted = manifest_pb2.Signatures(
            default_signature=_signature(_CLASSIFICATION)
        )
        signature.set_signatures(wanted, meta_graph_def)
        self.assertEqual(signature.get_signatures(meta_graph_def), wanted)

    def test_not_exactly_one_signatures_message_is_an_error(self) -> None:
        """A collection of signatures with no message, or two, is refused."""
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "Expected exactly one signatures proto.*; got 0",
        ):
            signature.get_signatures(meta_graph_def)
        packed = collection.pack(manifest_pb2.Signatures())
        meta_graph_def.collection_def[
            constants.SIGNATURES_KEY
        ].any_list.value.extend([packed, packed])
        with self.assertRaisesRegex(errors.FailedPreconditionError, "got 2"):
            signature.get_signatures(meta_graph_def)

    def test_default_signatures_are_found_by_type(self) -> None:
        """The message inside the oneof is returned."""
        self.assertEqual(
            signature.get_regression_signature(
                _export(_REGRESSION)
            ).output.tensor_name,
            "out:0",
        )
        self.assertEqual(
            signature.get_classification_signature(
                _export(_CLASSIFICATION)
            ).scores.tensor_name,
            "scores:0",
        )

    def test_default_signature_may_be_missing(self) -> None:
        """get_default_signature returns an empty one."""
        self.assertEqual(
            signature.get_default_signature(_export()),
            manifest_pb2.Signature(),
        )

    @parameterized.named_parameters(
        ("regression", signature.get_regression_signature),
        ("classification", signature.get_classification_signature),
    )
    def test_missing_default_signature_is_an_error(
        self, get: Callable[[meta_graph_pb2.MetaGraphDef], object]
    ) -> None:
        """A missing default signature is a FAILED_PRECONDITION."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "Expected a default signature"
        ):
            get(_export())

    @parameterized.named_parameters(
        (
            "regression",
            signature.get_regression_signature,
            _CLASSIFICATION,
            "Expected a regression signature.*; got classification",
        ),
        (
            "classification",
            signature.get_classification_signature,
            _REGRESSION,
            "Expected a classification signature.*; got regression",
        ),
        (
            "no_type_is_a_wrong_type",
            signature.get_classification_signature,
            "",
            "Expected a classification signature.*; got none",
        ),
    )
    def test_default_signature_of_another_type_is_an_error(
        self,
        get: Callable[[meta_graph_pb2.MetaGraphDef], object],
        default: str,
        text: str,
    ) -> None:
        """FAILED_PRECONDITION says what was expected and what was found."""
        with self.assertRaisesRegex(errors.FailedPreconditionError, text):
            get(_export(default))

    def test_named_signatures_are_found(self) -> None:
        """Signatures are found by name, and by name and type."""
        export = _export(foo=_CLASSIFICATION, bar=_GENERIC)
        self.assertEqual(
            signature.get_named_signature("foo", export),
            _signature(_CLASSIFICATION),
        )
        self.assertEqual(
            signature.get_named_classification_signature(
                "foo", export
            ).classes.tensor_name,
            "classes:0",
        )
        self.assertIn("a", signature.get_generic_signature("bar", export).map)

    @parameterized.named_parameters(
        (
            "any",
            signature.get_named_signature,
            errors.NotFoundError,
            'Missing signature named "foo"',
        ),
        (
            "classification",
            signature.get_named_classification_signature,
            errors.NotFoundError,
            'Missing signature named "foo"',
        ),
        (
            "generic",
            signature.get_generic_signature,
            errors.InvalidArgumentError,
            'Missing generic signature named "foo"',
        ),
    )
    def test_missing_name_is_an_error(
        self,
        get: Callable[[str, meta_graph_pb2.MetaGraphDef], object],
        error: type[Exception],
        text: str,
    ) -> None:
        """The text names those that exist."""
        with self.assertRaisesRegex(error, text + r".*\['bar'\]"):
            get("foo", _export(bar=_REGRESSION))

    @parameterized.named_parameters(
        (
            "classification",
            signature.get_named_classification_signature,
            errors.FailedPreconditionError,
            'Expected a classification signature for name "foo"',
        ),
        (
            "generic",
            signature.get_generic_signature,
            errors.InvalidArgumentError,
            "Expected a generic signature:",
        ),
    )
    def test_named_signature_of_another_type_is_an_error(
        self,
        get: Callable[[str, meta_graph_pb2.MetaGraphDef], object],
        error: type[Exception],
        text: str,
    ) -> None:
        """The code depends on the type, as in the original."""
        with self.assertRaisesRegex(error, text):
            get("foo", _export(foo=_REGRESSION))


class RunTest(parameterized.TestCase):
    """Running signatures."""

    classification = _signature(_CLASSIFICATION).classification_signature
    regression = _signature(_REGRESSION).regression_signature
    batch = np.zeros([2, 3])

    def test_classification_returns_what_is_asked_for(self) -> None:
        """Classes come first when both are wanted."""
        session = _Session([["x"], ["y"]], [[0.1], [0.2]])
        result = signature.run_classification(
            self.classification, self.batch, session, classes=True, scores=True
        )
        self.assertEqual(session.fetches, ["classes:0", "scores:0"])
        self.assertEqual(session.feeds, ["in:0"])
        np.testing.assert_array_equal(result.classes, [["x"], ["y"]])
        np.testing.assert_array_equal(result.scores, [[0.1], [0.2]])

    @parameterized.parameters("classes", "scores")
    def test_classification_runs_one_output_alone(self, name: str) -> None:
        """The other one is None."""
        session = _Session([[1], [2]])
        result = signature.run_classification(
            self.classification, self.batch, session, **{name: True}
        )
        self.assertEqual(session.fetches, [f"{name}:0"])
        self.assertIsNotNone(getattr(result, name))
        other = "scores" if name == "classes" else "classes"
        self.assertIsNone(getattr(result, other))

    def test_classification_needs_a_binding(self) -> None:
        """A classification needs a signature that binds its outputs."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "must bind scores"
        ):
            signature.run_classification(
                manifest_pb2.ClassificationSignature(),
                self.batch,
                _Session(),
                scores=True,
            )

    def test_regression_returns_its_output(self) -> None:
        """A regression returns one output for its input."""
        session = _Session([[1.0], [2.0]])
        output = signature.run_regression(self.regression, self.batch, session)
        self.assertEqual(session.fetches, ["out:0"])
        np.testing.assert_array_equal(output, [[1.0], [2.0]])

    def test_error_of_the_session_is_passed_on(self) -> None:
        """An error of the session is passed on with its class."""
        with self.assertRaisesRegex(errors.DataLossError, "data is gone"):
            signature.run_regression(
                self.regression, self.batch, _LostSession()
            )

    @parameterized.named_parameters(
        ("too_many", [[[1], [2]], [[1], [2]]], "Expected 1 output"),
        (
            "rows",
            [[[1]]],
            "Input batch size did not match output batch size.*"
            r"\[2, '...'\]; got \[1, 1\]",
        ),
        (
            "scalar",
            [1],
            "Input batch size did not match output batch size",
        ),
    )
    def test_outputs_that_do_not_fit_are_internal_errors(
        self, outputs: list[list[object]], text: str
    ) -> None:
        """The fault is the model's, not the caller's."""
        with self.assertRaisesRegex(errors.InternalError, text):
            signature.run_regression(
                self.regression, self.batch, _Session(*outputs)
            )


class BindGenericTest(absltest.TestCase):
    """Logical names to tensor names."""

    generic = _signature(_GENERIC).generic_signature

    def test_binding_keeps_the_order(self) -> None:
        """The order of the binding is the caller's."""
        self.assertEqual(
            signature.bind_generic_names(self.generic, ["b", "a"]),
            ["b:0", "a:0"],
        )
        inputs = {"b": np.zeros([1]), "a": np.ones([1])}
        bound = signature.bind_generic_inputs(self.generic, inputs)
        self.assertEqual(list(bound), ["b:0", "a:0"])
        self.assertIs(bound["a:0"], inputs["a"])

    def test_unknown_name_is_not_found(self) -> None:
        """The text names those that are bound."""
        with self.assertRaisesRegex(
            errors.NotFoundError, r'must bind "c"; got bindings of \[.a., .b.\]'
        ):
            signature.bind_generic_names(self.generic, ["a", "c"])
        with self.assertRaises(errors.NotFoundError):
            signature.bind_generic_inputs(self.generic, {"c": np.zeros([1])})


if __name__ == "__main__":
    absltest.main()
