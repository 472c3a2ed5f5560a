"""Tests for loader_harness: which step may follow which."""

import sys
import threading
from concurrent import futures

from absl.testing import absltest, parameterized

from tensorflow_serving.core import loader_harness, servable
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors

_State = loader_harness.State

# The step that each state waits for, and the state that it leads to.
_STEPS = {
    _State.NEW: ("load_requested", _State.LOAD_REQUESTED),
    _State.LOAD_REQUESTED: ("load_approved", _State.LOAD_APPROVED),
    _State.LOAD_APPROVED: ("load", _State.READY),
    _State.READY: ("unload_requested", _State.UNLOAD_REQUESTED),
    _State.UNLOAD_REQUESTED: ("start_quiescing", _State.QUIESCING),
    _State.QUIESCING: ("done_quiescing", _State.QUIESCED),
    _State.QUIESCED: ("unload", _State.DISABLED),
}
# States that last as long as a call of the loader, and the one before.
_DURING = {
    _State.LOADING: _State.LOAD_APPROVED,
    _State.UNLOADING: _State.QUIESCED,
}


class _Harness:
    """A harness, its loader, and the way to any state."""

    def __init__(self, loader: fake_loader.FakeLoader | None = None) -> None:
        self.loader = loader or fake_loader.FakeLoader()
        self.harness = loader_harness.LoaderHarness(
            servable.ServableData.ok(servable.ServableId("a", 1), self.loader)
        )

    def step(self, name: str) -> None:
        """Calls a method of the harness."""
        getattr(self.harness, name)()

    def go_to(self, state: _State, test: absltest.TestCase) -> None:
        """Goes on to a state."""
        if state is _State.ERROR:
            self.harness.fail(errors.InternalError("broken"))
            return
        target = _DURING.get(state, state)
        while (now := self.harness.state) is not target:
            self.step(_STEPS[now][0])
        if state in _DURING:
            self._start(_STEPS[target][0], test)

    def _start(self, name: str, test: absltest.TestCase) -> None:
        """Has a call of the loader last as long as the test."""
        may_end = getattr(self.loader, f"may_{name}")
        may_end.clear()
        thread = threading.Thread(target=self.step, args=(name,))
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(may_end.set)
        getattr(self.loader, f"{name}_started").wait()


class TransitionTest(parameterized.TestCase):
    """Each step checks the state that comes before."""

    @parameterized.named_parameters(
        (name, before, name, after) for before, (name, after) in _STEPS.items()
    )
    def test_step_leads_to_the_next_state(
        self, before: _State, name: str, after: _State
    ) -> None:
        """A step leads from the one state that allows it to the next."""
        a = _Harness()
        a.go_to(before, self)
        self.assertIs(a.harness.state, before)
        a.step(name)
        self.assertIs(a.harness.state, after)
        self.assertIsNone(a.harness.error)

    @parameterized.named_parameters(
        (f"{name}_when_{state.name}", name, before, state)
        for before, (name, _) in _STEPS.items()
        for state in _State
        if state is not before
    )
    def test_step_is_refused(
        self, name: str, before: _State, state: _State
    ) -> None:
        """A step in any other state is refused, and calls nothing."""
        a = _Harness()
        a.go_to(state, self)
        calls = list(a.loader.calls)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            rf"^{{name: a version: 1}} must be {before.name} to become \w+; "
            f"got {state.name}$",
        ):
            a.step(name)
        self.assertIs(a.harness.state, state)
        self.assertEqual(a.loader.calls, calls)

    @parameterized.parameters(*_DURING)
    def test_state_says_what_runs(self, state: _State) -> None:
        """The state is LOADING or UNLOADING while the loader runs."""
        a = _Harness()
        a.go_to(state, self)
        self.assertIs(a.harness.state, state)

    @parameterized.named_parameters(
        (name, before, name) for before, (name, _) in _STEPS.items()
    )
    def test_only_the_first_caller_succeeds(
        self, before: _State, name: str
    ) -> None:
        """All but one of several callers at a time are refused."""
        a = _Harness()
        a.go_to(before, self)
        barrier = threading.Barrier(4)

        def step() -> None:
            barrier.wait()
            a.step(name)

        with futures.ThreadPoolExecutor(4) as executor:
            calls = [executor.submit(step) for _ in range(4)]
        self.assertCountEqual(
            [type(call.exception()) for call in calls],
            [type(None)] + [errors.FailedPreconditionError] * 3,
        )
        self.assertIs(a.harness.state, _STEPS[before][1])

    def test_loader_is_called_once(self) -> None:
        """A loader is called once to load and once to unload."""
        a = _Harness()
        a.go_to(_State.READY, self)
        self.assertTrue(a.loader.is_loaded)
        a.go_to(_State.DISABLED, self)
        self.assertFalse(a.loader.is_loaded)
        self.assertEqual(a.loader.calls, ["load", "unload"])

    def test_state_is_ready_after_what_comes_before_it(self) -> None:
        """Whoever sees READY sees what was to be done before."""
        a = _Harness()
        a.go_to(_State.LOAD_APPROVED, self)
        seen = []

        def before_ready() -> None:
            seen.append((a.harness.state, a.harness.servable()))

        a.harness.load(before_ready)
        self.assertEqual(seen, [(_State.LOADING, a.loader.servable())])
        self.assertIs(a.harness.state, _State.READY)

    def test_nothing_becomes_available_after_an_error(self) -> None:
        """A load that failed does not call what comes before READY."""
        a = _Harness(fake_loader.FakeLoader(errors=[errors.DataLossError("x")]))
        a.go_to(_State.LOAD_APPROVED, self)
        with self.assertRaises(errors.DataLossError):
            a.harness.load(self.fail)
        self.assertIs(a.harness.state, _State.LOADING)

    def test_servable_that_cannot_become_ready_is_unloaded(self) -> None:
        """Whatever fails after the load, a bug or an exit, frees the memory."""
        a = _Harness()
        a.go_to(_State.LOAD_APPROVED, self)
        with (
            self.assertLogs(level="ERROR"),
            self.assertRaises(errors.InternalError),
        ):
            a.harness.load(sys.exit)
        self.assertEqual(a.loader.calls, ["load", "unload"])
        self.assertFalse(a.loader.is_loaded)

    def test_snapshot_is_of_one_moment(self) -> None:
        """It does not change with the harness."""
        a = _Harness()
        before = a.harness.snapshot()
        a.go_to(_State.ERROR, self)
        self.assertEqual(
            before, loader_harness.Snapshot(a.harness.id, _State.NEW)
        )
        self.assertEqual(
            a.harness.snapshot(),
            loader_harness.Snapshot(
                a.harness.id, _State.ERROR, a.harness.error
            ),
        )

    def test_data_with_an_error_begin_as_error(self) -> None:
        """A version whose source could not make a loader has a harness too."""
        harness = loader_harness.LoaderHarness(
            servable.ServableData.failed(
                servable.ServableId("a", 1),
                errors.NotFoundError("no such file"),
            )
        )
        self.assertIs(harness.state, _State.ERROR)
        self.assertIsInstance(harness.error, errors.NotFoundError)

    def test_final_states_wait_for_nothing(self) -> None:
        """All others wait for a step, or for the loader."""
        self.assertEqual(
            loader_harness.FINAL_STATES,
            set(_State) - set(_STEPS) - set(_DURING),
        )


class FailureTest(parameterized.TestCase):
    """Errors of loaders, and errors from outside."""

    @parameterized.parameters(
        *(each for each in _State if each is not _State.LOADING)
    )
    def test_harness_can_be_failed_from_outside(self, state: _State) -> None:
        """A harness can be failed in any state; the last error stays."""
        a = _Harness()
        a.go_to(_DURING.get(state, state), self)
        a.harness.fail(errors.ResourceExhaustedError("too large"))
        self.assertIs(a.harness.state, _State.ERROR)
        self.assertIsInstance(a.harness.error, errors.ResourceExhaustedError)
        self.assertEqual(str(a.harness.error), "too large")

    def test_error_is_kept_without_its_stack(self) -> None:
        """The stack would keep alive what was loaded so far."""
        a = _Harness(
            fake_loader.FakeLoader(errors=[errors.DataLossError("bad file")])
        )
        a.go_to(_State.LOAD_APPROVED, self)
        # Not assertRaises, which takes the stack away.
        try:
            a.harness.load()
        except errors.DataLossError as raised:
            a.harness.fail(raised)
            self.assertEqual(str(raised), "bad file")
            self.assertIsNotNone(raised.__traceback__)
            error = a.harness.error
            assert isinstance(error, errors.DataLossError)
            self.assertEqual(str(error), "bad file")
            self.assertIsNone(error.__traceback__)
            self.assertIsNone(error.__context__)
        self.assertIs(a.harness.state, _State.ERROR)

    def test_error_of_a_load_that_is_none_of_ours_is_internal(self) -> None:
        """Its text may be private: it is in the log only."""
        a = _Harness(fake_loader.FakeLoader(errors=[KeyError("private")]))
        a.go_to(_State.LOAD_APPROVED, self)
        with (
            self.assertLogs(level="ERROR") as log,
            self.assertRaisesRegex(
                errors.InternalError,
                "^loading {name: a version: 1} failed with a KeyError; see "
                "the log$",
            ),
        ):
            a.harness.load()
        self.assertIn("private", "".join(log.output))

    def test_estimate_is_that_of_the_loader(self) -> None:
        """It may be asked for in any state."""
        a = _Harness(fake_loader.FakeLoader(ram_in_bytes=7))
        self.assertEqual(a.harness.estimate_resources().ram_in_bytes, 7)
        self.assertIs(a.harness.state, _State.NEW)

    @parameterized.named_parameters(
        ("ours", errors.NotFoundError("gone"), errors.NotFoundError, "^gone$"),
        (
            "other",
            KeyError("private"),
            errors.InternalError,
            "^estimating {name: a version: 1} failed with a KeyError; see the "
            "log$",
        ),
    )
    def test_estimate_that_fails_changes_no_state(
        self, error: Exception, wanted: type[errors.ServingError], text: str
    ) -> None:
        """An estimate that fails is for the manager to judge."""
        a = _Harness(fake_loader.FakeLoader(estimate_error=error))
        with self.assertRaisesRegex(wanted, text):
            a.harness.estimate_resources()
        self.assertIs(a.harness.state, _State.NEW)

    def test_unload_that_fails_raises_the_error_of_the_loader(self) -> None:
        """The manager publishes it, and has the version end as ERROR."""
        a = _Harness(
            fake_loader.FakeLoader(unload_error=errors.UnavailableError("busy"))
        )
        a.go_to(_State.QUIESCED, self)
        with self.assertRaisesRegex(errors.UnavailableError, "^busy$"):
            a.harness.unload()
        self.assertIs(a.harness.state, _State.UNLOADING)
        self.assertEqual(a.loader.calls, ["load", "unload"])

    def test_error_of_an_unload_that_is_none_of_ours_is_internal(self) -> None:
        """An unknown error of an unload is INTERNAL, as that of a load is."""
        a = _Harness(fake_loader.FakeLoader(unload_error=OSError("private")))
        a.go_to(_State.QUIESCED, self)
        with (
            self.assertLogs(level="ERROR") as log,
            self.assertRaisesRegex(
                errors.InternalError,
                "^unloading {name: a version: 1} failed with a OSError; see "
                "the log$",
            ),
        ):
            a.harness.unload()
        self.assertIn("private", "".join(log.output))


if __name__ == "__main__":
    absltest.main()
