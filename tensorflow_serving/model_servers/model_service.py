"""ModelService: tells about models, and changes which are served."""

from collections.abc import Callable, Mapping, Sequence

from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2,
)
from tensorflow_serving.model_servers import (
    get_model_status,
    metric_families,
    model_configs,
    served_models,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

Collect = Callable[[], Sequence[metric_families.Family]]

_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]


class ModelService:
    """Implements the service of the protocol. Thread-safe."""

    def __init__(
        self, served: served_models.ServedModels, collect: Collect = tuple
    ) -> None:
        """Takes what to tell about.

        Args:
          served: The models, which the caller closes after the server.
          collect: Returns the metrics of this process.
        """
        self._served = served
        self._collect = collect

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            {"GetModelStatus": self.get_model_status},
            waiting_methods={
                "HandleReloadConfigRequest": self.handle_reload_config_request
            },
        )

    def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """See get_model_status.get_model_status()."""
        return get_model_status.get_model_status(self._served, request)

    def handle_reload_config_request(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        unwanted: call_lib.Unwanted | None = None,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of a request, and waits for those that are new.

        Args:
          request: The request.
          unwanted: See WaitingMethod; None: somebody always waits.

        Raises:
          InvalidArgumentError: The configuration is not a list of models, or
            one of them is not valid. Permanent.
          FailedPreconditionError, DeadlineExceededError, CancelledError,
            UnavailableError: See reload_config.reload().
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise errors.InvalidArgumentError(
                "config must be a model_config_list; got "
                f"{request.config.WhichOneof('config') or 'none'}"
            )
        before = self._counts(request.metric_names)
        self._served.reload(model_configs.parse(request.config), unwanted)
        response = model_management_pb2.ReloadConfigResponse(
            status=get_model_status.status(None)
        )
        for name, count in self._counts(request.metric_names).items():
            response.metric.add(
                name=name, int64_value_increase=count - before[name]
            )
        return response

    def _counts(self, names: Sequence[str]) -> Mapping[str, int]:
        """Returns the values of metrics by name; 0 for those that are not.

        Names may have the slashes of TensorFlow Serving's.
        """
        counts = dict.fromkeys(names, 0)
        by_shown_name = {name.replace("/", ":"): name for name in counts}
        for family in self._collect() if counts else ():
            name = by_shown_name.get(family.name)
            if name is not None and family.kind != "histogram":
                values = family.series.values()
                counts[name] += int(sum(value for (value,) in values))
        return counts
