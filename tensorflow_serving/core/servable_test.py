"""Tests for servable."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.util import errors


class ServableIdTest(absltest.TestCase):
    """A version of a servable."""

    def test_ids_are_ordered_by_name_then_by_version(self) -> None:
        """Versions are numbers: 10 comes after 9."""
        ids = [
            servable.ServableId("b", 1),
            servable.ServableId("a", 10),
            servable.ServableId("a", 9),
        ]
        self.assertEqual(sorted(ids), ids[::-1])

    def test_ids_of_the_same_version_are_equal(self) -> None:
        """Equal ids are one element of a set."""
        ids = {servable.ServableId("a", version) for version in (1, 1, 2)}
        self.assertEqual(len(ids), 2)

    def test_version_below_0_is_refused(self) -> None:
        """A version below 0 is refused, and 0 is like any other."""
        servable.ServableId("a", 0)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^version must be at least 0; got -1$"
        ):
            servable.ServableId("a", -1)

    def test_text_is_that_of_the_original(self) -> None:
        """People know it from logs."""
        self.assertEqual(
            str(servable.ServableId("a", 3)), "{name: a version: 3}"
        )


class ServableDataTest(absltest.TestCase):
    """A version, and its data or its error."""

    def test_ok_has_data(self) -> None:
        """Data that are OK have no error."""
        data = servable.ServableData.ok(servable.ServableId("a", 1), "path")
        self.assertEqual(data.data_or_raise(), "path")
        self.assertIsNone(data.error)

    def test_data_that_are_none_are_refused(self) -> None:
        """An adapter that forgets to return something gets an error."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^data of {name: a version: 1} must be what it is served from; "
            "got None$",
        ):
            servable.ServableData.ok(servable.ServableId("a", 1), None)

    def test_content_is_unknown_unless_it_is_given(self) -> None:
        """Data with other content are other data."""
        servable_id = servable.ServableId("a", 1)
        unknown = servable.ServableData.ok(servable_id, "path")
        known = servable.ServableData.ok(servable_id, "path", content=7)
        self.assertIsNone(unknown.content)
        self.assertEqual(known.content, 7)
        self.assertNotEqual(unknown, known)

    def test_failed_raises_its_error(self) -> None:
        """The very error that the data were made with is raised."""
        error = errors.NotFoundError("no such path")
        data = servable.ServableData[str].failed(
            servable.ServableId("a", 1), error
        )
        with self.assertRaises(errors.NotFoundError) as raised:
            data.data_or_raise()
        self.assertIs(raised.exception, error)
        self.assertIsNone(data.data)


class ServableStateTest(absltest.TestCase):
    """Tests of the states that a manager publishes of a version."""

    def test_text_says_what_became_of_it(self) -> None:
        """The text of a state says why a version failed."""
        servable_id = servable.ServableId("a", 1)
        self.assertEqual(
            str(
                servable.ServableState(
                    servable_id, servable.ManagerState.AVAILABLE
                )
            ),
            "{name: a version: 1} is AVAILABLE",
        )
        self.assertEqual(
            str(
                servable.ServableState(
                    servable_id,
                    servable.ManagerState.END,
                    errors.NotFoundError("no such path"),
                )
            ),
            "{name: a version: 1} is END: NOT_FOUND: no such path",
        )

    def test_text_has_the_warning(self) -> None:
        """The text of a version with a flaw says that it is AVAILABLE."""
        state = servable.ServableState(
            servable.ServableId("a", 1),
            servable.ManagerState.AVAILABLE,
            warning="It is cold.",
        )
        self.assertEqual(
            str(state),
            "{name: a version: 1} is AVAILABLE (warning: It is cold.)",
        )

    def test_only_an_end_with_an_error_is_a_failure(self) -> None:
        """A version that is AVAILABLE may have an error of other content."""
        error = errors.NotFoundError("no such path")
        failures = [
            (state, each)
            for state in servable.ManagerState
            for each in (None, error)
            if servable.ServableState(
                servable.ServableId("a", 1), state, each
            ).has_failed
        ]
        self.assertEqual(failures, [(servable.ManagerState.END, error)])

    def test_only_one_state_is_available(self) -> None:
        """No call is answered before it, or when it is being unloaded."""
        available = [
            state
            for state in servable.ManagerState
            if servable.ServableState(
                servable.ServableId("a", 1), state
            ).is_available
        ]
        self.assertEqual(available, [servable.ManagerState.AVAILABLE])


class ServableRequestTest(parameterized.TestCase):
    """Which version a caller wants."""

    @parameterized.named_parameters(
        (
            "specific",
            servable.ServableRequest.specific("a", 0),
            0,
            "{name: a version: 0}",
        ),
        (
            "latest",
            servable.ServableRequest.latest("a"),
            None,
            "{name: a version: latest}",
        ),
        (
            "from_id",
            servable.ServableRequest.from_id(servable.ServableId("a", 2)),
            2,
            "{name: a version: 2}",
        ),
    )
    def test_request_is_for_a_version_or_the_latest(
        self, request: servable.ServableRequest, version: int | None, text: str
    ) -> None:
        """Its text tells them apart."""
        self.assertEqual(request.name, "a")
        self.assertEqual(request.version, version)
        self.assertEqual(str(request), text)


if __name__ == "__main__":
    absltest.main()
