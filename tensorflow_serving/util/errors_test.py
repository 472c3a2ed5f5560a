"""Tests for errors."""

from absl.testing import absltest, parameterized

from tensorflow_serving.util import errors


class ErrorsTest(parameterized.TestCase):
    """One class for each canonical code."""

    @parameterized.named_parameters(
        (code.name, code)
        for code in errors.StatusCode
        if code is not errors.StatusCode.OK
    )
    def test_from_code_returns_the_class_of_each_code(
        self, code: errors.StatusCode
    ) -> None:
        """Each code but OK has a class of its own."""
        error = errors.from_code(int(code), "why")
        self.assertEqual(error.code, code)
        self.assertEqual(str(error), "why")
        name = code.name.title().replace("_", "")
        self.assertEqual(type(error).__name__, f"{name}Error")

    def test_from_code_accepts_numbers_of_the_future(self) -> None:
        """A number that is not canonical becomes UNKNOWN."""
        error = errors.from_code(99, "why")
        self.assertIsInstance(error, errors.UnknownError)

    @parameterized.named_parameters(
        (code.name, code)
        for code in errors.StatusCode
        if code is not errors.StatusCode.OK
    )
    def test_is_transient_is_what_the_class_says(
        self, code: errors.StatusCode
    ) -> None:
        """Its docstring ends with whether trying again makes sense."""
        error = errors.from_code(int(code), "why")
        word = "Transient" if errors.is_transient(error) else "Permanent"
        self.assertRegex(type(error).__doc__ or "", rf"\. {word}\.$")

    def test_errors_that_pass_by_themselves_are_transient(self) -> None:
        """Errors of time, of load and of lost races are transient."""
        self.assertEqual(
            {
                code.name
                for code in errors.StatusCode
                if code is not errors.StatusCode.OK
                and errors.is_transient(errors.from_code(code, "why"))
            },
            {
                "ABORTED",
                "DEADLINE_EXCEEDED",
                "RESOURCE_EXHAUSTED",
                "UNAVAILABLE",
            },
        )

    def test_require_at_least_names_what_is_too_small(self) -> None:
        """The least value passes; one less is INVALID_ARGUMENT."""
        errors.require_at_least(1, rows=1, columns=2)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^columns must be at least 1; got 0$"
        ):
            errors.require_at_least(1, rows=1, columns=0)

    def test_reason_is_what_the_system_says(self) -> None:
        """The text of an error that is not of the system stays as it is."""
        error = FileNotFoundError(2, "No such file or directory", "/x")
        self.assertEqual(errors.reason(error), "No such file or directory")
        self.assertEqual(errors.reason(ValueError("no port")), "no port")
        self.assertEqual(errors.reason(OSError("no port")), "no port")

    def test_copy_has_no_stack(self) -> None:
        """A copy has the class and the text, and refers to no frames."""
        try:
            raise errors.DataLossError("half a file")
        except errors.DataLossError as error:
            copy = errors.copy_of(error)
        self.assertIs(type(copy), errors.DataLossError)
        self.assertEqual(str(copy), "half a file")
        self.assertIsNone(copy.__traceback__)
        self.assertIsNone(copy.__context__)

    def test_errors_are_runtime_errors(self) -> None:
        """Code written for the original catches RuntimeError."""
        self.assertIsInstance(errors.NotFoundError("x"), RuntimeError)


if __name__ == "__main__":
    absltest.main()
