"""Tests for model_service, with a core of small models in this process."""

import functools
from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    histograms,
    metric_families,
    model_configs,
    model_service,
    server_core,
)
from tensorflow_serving.test_util import model_server_folder, small_model
from tensorflow_serving.util import errors

_Status = get_model_status_pb2.ModelVersionStatus


class ModelServiceTest(parameterized.TestCase):
    """Tests of requests to a service of the model "one"."""

    def setUp(self) -> None:
        """Starts a core."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self._write("one")
        models = model_configs.parse(self._request("one").config)
        self.core = server_core.ServerCore(
            server_core.Options(
                file_system_poll_wait_seconds=0.02, warm_up=None
            ),
            models,
        )
        self.addCleanup(self.core.close)
        self.service = model_service.ModelService(self.core)

    def _write(self, name: str, gate: str | None = None) -> None:
        write = functools.partial(small_model.write, gate=gate)
        self.folder.write(name, write=write)

    def _request(self, *names: str) -> model_management_pb2.ReloadConfigRequest:
        return model_management_pb2.ReloadConfigRequest(
            config=self.folder.config(*names)
        )

    def _state(self, name: str) -> _Status:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        response = self.service.get_model_status(request)
        (status,) = response.model_version_status
        return status

    def _wait_for_one(self, wanted: servable.ManagerState) -> None:
        self.core.news.wait_until(
            lambda: (
                [
                    each.manager_state
                    for each in self.core.states("one").values()
                ]
                == [wanted]
            ),
            20,
        )

    def test_reload_answers_when_new_models_are_available(self) -> None:
        """The answer is OK, in the form of the protocol."""
        self._write("two")
        response = self.service.handle_reload_config_request(
            self._request("one", "two")
        )
        self.assertEqual(response.status.error_code, 0)
        self.assertEqual(self._state("two").state, _Status.AVAILABLE)

    def test_reload_with_a_broken_model_names_it(self) -> None:
        """The others are served, and its state has the reason."""
        # A folder cannot be written to like a file.
        self._write("broken", gate=self.folder.path)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model broken must be AVAILABLE"
        ):
            self.service.handle_reload_config_request(
                self._request("one", "broken")
            )
        status = self._state("broken")
        self.assertEqual(
            (status.state, status.status.error_code),
            (_Status.END, errors.StatusCode.FAILED_PRECONDITION),
        )
        self._wait_for_one(servable.ManagerState.AVAILABLE)
        self.assertEqual(self._state("one").state, _Status.AVAILABLE)

    def test_reload_says_by_how_much_metrics_grew(self) -> None:
        """A metric that there is not did not grow."""
        loads = metric_families.Family(
            ":tensorflow:serving:loads", "counter", "Loads.", ("model",)
        )
        times = metric_families.Family("times", "histogram", "Times.")

        def collect() -> Sequence[metric_families.Family]:
            loads.add(("one",), 2)
            loads.add(("two",), 3)
            times.add_histogram((), histograms.Histogram([1, 2]))
            return [loads, times]

        service = model_service.ModelService(self.core, collect)
        request = self._request("one")
        names = ["/tensorflow/serving/loads", "times", "unknown"]
        request.metric_names.extend(names)
        response = service.handle_reload_config_request(request)
        self.assertEqual(
            {each.name: each.int64_value_increase for each in response.metric},
            dict(zip(names, [5, 0, 0], strict=True)),
        )

    def test_reload_without_names_of_metrics_has_none(self) -> None:
        """Nothing is collected for it."""
        service = model_service.ModelService(self.core, self.fail)
        response = service.handle_reload_config_request(self._request("one"))
        self.assertEqual(len(response.metric), 0)

    def test_model_that_is_no_longer_named_ends(self) -> None:
        """An empty list is a configuration of no models."""
        self._wait_for_one(servable.ManagerState.AVAILABLE)
        self.service.handle_reload_config_request(self._request())
        self._wait_for_one(servable.ManagerState.END)
        self.assertEqual(self._state("one").state, _Status.END)

    @parameterized.parameters(
        ("none", "got none"), ("custom_model_config", "got custom_model_config")
    )
    def test_reload_takes_a_list_of_models_only(
        self, kind: str, text: str
    ) -> None:
        """A request without a list changes nothing."""
        request = model_management_pb2.ReloadConfigRequest()
        if kind != "none":
            getattr(request.config, kind).SetInParent()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"config must be a model_config_list; {text}",
        ):
            self.service.handle_reload_config_request(request)
        self.assertEqual([*self.core.model_names], ["one"])

    def test_reload_of_a_wrong_model_changes_nothing(self) -> None:
        """Two models with one name are refused, and neither is served."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be unique; got two"
        ):
            self.service.handle_reload_config_request(
                self._request("two", "two")
            )
        self.assertEqual([*self.core.model_names], ["one"])

    def test_service_has_the_methods_of_the_protocol(self) -> None:
        """A server finds each method by its name."""
        service = self.service.service()
        self.assertEqual({*service.methods}, {"GetModelStatus"})
        self.assertEqual(
            {*service.waiting_methods}, {"HandleReloadConfigRequest"}
        )


if __name__ == "__main__":
    absltest.main()
