"""ModelService: tells about models, and changes which are served."""

from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2,
)
from tensorflow_serving.model_servers import (
    get_model_status,
    model_configs,
    served_models,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]


class ModelService:
    """Implements the service of the protocol. Thread-safe."""

    def __init__(self, served: served_models.ServedModels) -> None:
        """Takes models, which the caller closes after the server."""
        self._served = served

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            {
                "GetModelStatus": self.get_model_status,
                "HandleReloadConfigRequest": self.handle_reload_config_request,
            },
        )

    def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """See get_model_status.get_model_status()."""
        return get_model_status.get_model_status(self._served, request)

    def handle_reload_config_request(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of a request, and waits for those that are new.

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
        self._served.reload(model_configs.parse(request.config))
        return model_management_pb2.ReloadConfigResponse(
            status=get_model_status.status(None)
        )
