"""Tests for server_core, with small models in this process."""

import dataclasses
import os
import shutil
from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.core import basic_manager, servable
from tensorflow_serving.model_servers import model_configs, server_core
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.sources.storage_path import storage_path_config
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors

_State = servable.ManagerState
_ALL = storage_path_config.All()


def _spec(
    name: str, version: int | None = None, label: str = ""
) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label
    return spec


class _CoreTestCase(parameterized.TestCase):
    """A core, and a folder for its models."""

    def setUp(self) -> None:
        """Makes the folder."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.options = server_core.Options(
            manager=basic_manager.Options(
                num_load_threads=4, load_retry_interval_micros=1000
            ),
            file_system_poll_wait_seconds=0.02,
            warm_up=None,
        )

    def write(
        self, name: str, version: int = 1, gate: str | None = None
    ) -> str:
        """Writes a version as a whole; returns its folder."""
        path = os.path.join(self.folder, name, str(version))
        small_model.write(f"{path}-tmp", gate)
        os.rename(f"{path}-tmp", path)
        return path

    def write_broken(self, name: str, version: int = 1) -> None:
        """Writes a version that cannot be loaded."""
        # A folder cannot be written to like a file.
        self.write(name, version, gate=self.folder)

    def write_endless(self, name: str, version: int = 1) -> str:
        """Writes a version whose load waits until somebody reads a file."""
        gate = os.path.join(self.folder, f"gate-{name}")
        os.mkfifo(gate)
        self.write(name, version, gate=gate)
        return gate

    def open_at_the_end(self, gate: str) -> None:
        """Has a load end before the core is closed."""
        reader = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)

    def model(
        self,
        name: str,
        policy: storage_path_config.VersionPolicy = _ALL,
        **labels: int,
    ) -> model_configs.ModelConfig:
        """Returns the configuration of a model in the folder."""
        return model_configs.ModelConfig(
            name, os.path.join(self.folder, name), policy, labels
        )

    def start(
        self, *models: model_configs.ModelConfig | str
    ) -> server_core.ServerCore:
        """Returns a core that is closed at the end."""
        core = server_core.ServerCore(self.options, self.models(*models))
        self.addCleanup(core.close)
        return core

    def models(
        self, *models: model_configs.ModelConfig | str
    ) -> model_configs.Models:
        """Returns a configuration."""
        return tuple(
            self.model(each) if isinstance(each, str) else each
            for each in models
        )

    def wait_for(
        self,
        core: server_core.ServerCore,
        name: str,
        state: _State,
        version: int = 1,
    ) -> servable.ServableState:
        """Waits until a version is in a state."""

        def found() -> servable.ServableState | None:
            states = core.states(name)
            each = states.get(version)
            return each if each and each.manager_state is state else None

        self.assertTrue(core.news.wait_until(lambda: found() is not None, 20))
        result = found()
        assert result is not None
        return result

    def version_of(
        self, core: server_core.ServerCore, spec: model_pb2.ModelSpec
    ) -> int:
        """Returns which version a request gets."""
        with core.handle(spec) as handle:
            return handle.id.version


class HandleTest(_CoreTestCase):
    """Tests of which version a request gets."""

    def _start_with_versions(self, *versions: int) -> server_core.ServerCore:
        for version in versions:
            self.write("m", version)
        core = self.start("m")
        for version in versions:
            self.wait_for(core, "m", _State.AVAILABLE, version)
        return core

    @parameterized.parameters(
        ((2, 7), None, 7), ((2, 7), 2, 2), ((2, 7), 0, 7), ((0, 7), 0, 0)
    )
    def test_request_gets_the_version_that_it_names(
        self, versions: Sequence[int], named: int | None, wanted: int
    ) -> None:
        """Version 0 is the newest one, unless there is one of that number."""
        core = self._start_with_versions(*versions)
        self.assertEqual(self.version_of(core, _spec("m", named)), wanted)

    @parameterized.parameters(
        (
            _spec("m", 3),
            errors.NotFoundError,
            r"^Servable .*Specific\(m, 3",
        ),
        (_spec("q"), errors.NotFoundError, r"^Servable not .*Latest\(q\)$"),
        (_spec(""), errors.InvalidArgumentError, "has no name"),
        (_spec("m", -1), errors.NotFoundError, r"Specific\(m, -1\)$"),
        (
            _spec("m", label="q"),
            errors.InvalidArgumentError,
            "Unrecognized servable version label",
        ),
    )
    def test_version_that_is_not_there_is_refused(
        self,
        spec: model_pb2.ModelSpec,
        error: type[errors.ServingError],
        text: str,
    ) -> None:
        """Clients know these codes and texts."""
        core = self._start_with_versions(2)
        with self.assertRaisesRegex(error, text):
            core.handle(spec)

    def test_states_are_those_of_known_models(self) -> None:
        """A model without a version has no states, and another is unknown."""
        core = self.start("m")
        self.assertEqual(dict(core.states("m")), {})
        with self.assertRaisesRegex(errors.NotFoundError, "model q"):
            core.states("q")

    def test_request_in_vain_is_unavailable_during_the_start(self) -> None:
        """Clients that wait for the server try again on that code."""
        gate = self.write_endless("slow")
        core = self.start("slow")
        self.assertTrue(core.is_starting)
        for name in ("slow", "other"):
            with self.assertRaisesRegex(
                errors.UnavailableError, "first models; try again"
            ):
                core.handle(_spec(name))
        self.open_at_the_end(gate)
        self.wait_for(core, "slow", _State.AVAILABLE)
        self.assertFalse(core.is_starting)
        self.assertEqual(self.version_of(core, _spec("slow")), 1)

    def test_start_ends_though_models_fail(self) -> None:
        """A model that failed once is no longer part of the start."""
        self.write_broken("broken")
        core = self.start("broken")
        self.wait_for(core, "broken", _State.END)
        with self.assertRaises(errors.NotFoundError):
            core.handle(_spec("broken"))


class ModelsTest(_CoreTestCase):
    """Tests of models beside each other."""

    def test_broken_and_endless_models_hold_up_no_other(self) -> None:
        """Each model is loaded for itself, and a healthy one answers."""
        self.write("healthy")
        self.write_broken("broken")
        gate = self.write_endless("endless")
        core = self.start("broken", "endless", "lost", "healthy")
        self.wait_for(core, "healthy", _State.AVAILABLE)
        failed = self.wait_for(core, "broken", _State.END)
        self.assertIsInstance(failed.error, errors.FailedPreconditionError)
        self.wait_for(core, "endless", _State.LOADING)
        self.assertEqual(self.version_of(core, _spec("healthy")), 1)
        self.write("healthy", 2)
        self.wait_for(core, "healthy", _State.AVAILABLE, 2)
        self.open_at_the_end(gate)

    def test_model_that_comes_later_is_found(self) -> None:
        """A base path that was missing is looked for again and again."""
        core = self.start("m")
        self.write("m")
        self.wait_for(core, "m", _State.AVAILABLE)

    def test_models_are_added_and_removed(self) -> None:
        """A model that is no longer named is unloaded; others stay."""
        for name in ("one", "two", "three"):
            self.write(name)
        core = self.start("one", "two")
        self.wait_for(core, "one", _State.AVAILABLE)
        (new,) = core.update(self.models("two", "three"))
        self.assertEqual(new.name, "three")
        self.assertEqual([*core.model_names], ["two", "three"])
        self.wait_for(core, "three", _State.AVAILABLE)
        self.wait_for(core, "one", _State.END)
        with self.assertRaises(errors.NotFoundError):
            core.handle(_spec("one"))
        self.wait_for(core, "two", _State.AVAILABLE)

    def test_model_beyond_the_budget_is_refused(self) -> None:
        """The state says so; models that fit are served."""
        self.write("one")
        self.write("two")
        self.options = dataclasses.replace(
            self.options, max_memory_bytes=_estimate(self.folder)
        )
        core = self.start("one")
        self.wait_for(core, "one", _State.AVAILABLE)
        core.update(self.models("one", "two"))
        failed = self.wait_for(core, "two", _State.END)
        self.assertIsInstance(failed.error, errors.ResourceExhaustedError)
        self.assertEqual(self.version_of(core, _spec("one")), 1)
        core.update(self.models("two"))
        self.wait_for(core, "two", _State.AVAILABLE)

    def test_failed_warm_up_is_a_warning_in_the_state(self) -> None:
        """The version is AVAILABLE all the same."""
        path = os.path.join(self.write("m"), warm_up_requests.PATH)
        os.mkdir(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"garbage")
        self.options = server_core.Options()
        core = self.start("m")
        state = self.wait_for(core, "m", _State.AVAILABLE)
        self.assertIn("TFRecord", state.warning)

    def test_subscriber_gets_the_names_of_models(self) -> None:
        """Each change of a state is one call."""
        core = self.start("m")
        names: list[str] = []
        with core.news.subscribe(names.append):
            self.write("m")
            self.wait_for(core, "m", _State.AVAILABLE)
            # The state is known a little before its subscribers are called.
            core.news.wait_until(lambda: len(names) >= 3, 20)
        self.assertEqual(names, ["m"] * 3)

    def test_subscriber_gets_models_that_are_new_or_gone(self) -> None:
        """Each is one call, though no state has changed."""
        core = self.start("one", "two")
        names: list[str] = []
        with core.news.subscribe(names.append):
            core.update(self.models("two", "three"))
        self.assertCountEqual(names, ["one", "three"])


def _estimate(folder: str) -> int:
    """Returns what one of the models of a folder takes, and a bit more."""
    file = os.path.join(folder, "one", "1", "saved_model.pb")
    return 15 * os.path.getsize(file)


class LabelsTest(_CoreTestCase):
    """Tests of labels, which lead to versions that are available."""

    def test_label_may_lead_to_another_version_later(self) -> None:
        """A label moves to a version once that is available."""
        for version in (1, 2):
            self.write("m", version)
        core = self.start("m")
        for version in (1, 2):
            self.wait_for(core, "m", _State.AVAILABLE, version)
        for version in (1, 2, 1):
            core.update(self.models(self.model("m", _ALL, stable=version)))
            spec = _spec("m", label="stable")
            self.assertEqual(self.version_of(core, spec), version)
        core.update(self.models("m"))
        with self.assertRaisesRegex(errors.InvalidArgumentError, "label"):
            core.handle(_spec("m", label="stable"))

    def test_label_of_a_missing_version_changes_nothing(self) -> None:
        """The models and labels stay as they were."""
        self.write("m")
        core = self.start("m")
        self.wait_for(core, "m", _State.AVAILABLE)
        core.update(self.models(self.model("m", _ALL, stable=1)))
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "label stable"
        ):
            core.update(self.models(self.model("m", _ALL, stable=9), "n"))
        self.assertEqual([*core.model_names], ["m"])
        spec = _spec("m", label="stable")
        self.assertEqual(self.version_of(core, spec), 1)

    def test_label_at_the_start_needs_the_option(self) -> None:
        """Nothing is available at the start, so a label leads nowhere."""
        self.write("m")
        model = self.model("m", _ALL, stable=1)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "label stable"
        ):
            self.start(model)
        self.options = dataclasses.replace(
            self.options, allows_labels_for_unavailable_models=True
        )
        core = self.start(model)
        self.wait_for(core, "m", _State.AVAILABLE)
        spec = _spec("m", label="stable")
        self.assertEqual(self.version_of(core, spec), 1)


class ReloadTest(_CoreTestCase):
    """Tests of reloads, which wait for new models."""

    def test_new_models_are_available_afterwards(self) -> None:
        """A reload returns when requests for the new models are answered."""
        self.write("one")
        self.write("two")
        core = self.start("one")
        core.reload(self.models("one", "two"))
        self.assertEqual(self.version_of(core, _spec("two")), 1)

    def test_broken_model_is_named_and_others_are_served(self) -> None:
        """A reload fails at once, though another model is being loaded."""
        self.write_broken("broken")
        self.write("healthy")
        core = self.start()
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "^model broken must be AVAILABLE"
        ):
            core.reload(self.models("broken", "healthy"))
        self.wait_for(core, "healthy", _State.AVAILABLE)

    def test_failure_of_before_does_not_count_for_a_model_again(self) -> None:
        """A model that was removed, mended and added anew is waited for."""
        self.write_broken("mended")
        core = self.start()
        with self.assertRaises(errors.FailedPreconditionError):
            core.reload(self.models("mended"))
        core.reload(())
        shutil.rmtree(os.path.join(self.folder, "mended"))
        self.write("mended")
        core.reload(self.models("mended"))
        self.assertEqual(self.version_of(core, _spec("mended")), 1)

    def test_model_without_a_version_is_named(self) -> None:
        """A model whose base path is missing is not waited for."""
        core = self.start()
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model lost must hold a version"
        ):
            core.reload(self.models("lost"))
        self.write("lost")
        self.wait_for(core, "lost", _State.AVAILABLE)

    def test_reload_takes_no_longer_than_options_say(self) -> None:
        """An endless load goes on after the error."""
        gate = self.write_endless("slow")
        self.options = dataclasses.replace(
            self.options, model_load_timeout_seconds=0.01
        )
        core = self.start()
        with self.assertRaisesRegex(
            errors.DeadlineExceededError, "^model slow must .* within 0.01 s"
        ):
            core.reload(self.models("slow"))
        self.open_at_the_end(gate)
        self.wait_for(core, "slow", _State.AVAILABLE)

    def test_closed_core_waits_for_nothing(self) -> None:
        """A wait ends with the core, and closing twice is closing once."""
        core = self.start()
        core.close()
        core.close()
        self.assertTrue(core.news.wait_until(lambda: False, 0))


if __name__ == "__main__":
    absltest.main()
