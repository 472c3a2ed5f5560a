"""Pages that say what is served, beyond those of TensorFlow Serving.

Example:
    pages = status_pages.StatusPages(served)
    pages.find("/readyz")

GET /v1/models and /v1/config list all models, /healthz tells that the process
answers, and /readyz and /readyz/<model> whether models can be called.
"""

import json
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from google.protobuf import json_format

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import get_model_status, served_models
from tensorflow_serving.util import errors

_UNAVAILABLE: Final = 503
_READY_MODEL: Final = "/readyz/"


class StatusPages:
    """Answers what is asked with GET about all models."""

    def __init__(self, served: served_models.ServedModels) -> None:
        """Makes the pages of the models of all processes."""
        self._served = served
        # Whether the process is about to end; readiness tells.
        self.is_draining = False
        self._pages: Mapping[str, Callable[[], messages.Response]] = {
            "/healthz": self._alive,
            "/readyz": lambda: self._ready(self._served.model_names),
        }
        self._lists: Mapping[str, Callable[[], messages.Response]] = {
            "/v1/config": self._config,
            "/v1/models": self._list_models,
        }

    def find_list(self, path: str) -> Callable[[], messages.Response] | None:
        """Finds what makes a list of all models, None if a path is of none.

        A thousand models take a tenth of a second.
        """
        return self._lists.get(path)

    def find(self, path: str) -> messages.Response | None:
        """Returns the page of a path, None if there is none."""
        if page := self._pages.get(path):
            return page()
        if path.startswith(_READY_MODEL):
            name = urllib.parse.unquote(path.removeprefix(_READY_MODEL))
            return self._ready([name])
        return None

    def _list_models(self) -> messages.Response:
        return _of_values(
            {
                "models": [
                    {"name": name, **values}
                    for name, values in sorted(self._values().items())
                ]
            }
        )

    def _config(self) -> messages.Response:
        """Lists the models as OpenVINO Model Server does."""
        return _of_values(self._values())

    def _values(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns the status of each model as JSON."""
        return {
            name: json_format.MessageToDict(
                get_model_status.response(states),
                always_print_fields_with_no_presence=True,
            )
            for name, states in served_models.all_states(self._served).items()
        }

    def _alive(self) -> messages.Response:
        return messages.Response(200, b"ok\n", messages.TEXT)

    def _ready(self, names: Collection[str]) -> messages.Response:
        """Tells whether models can be called, and of those that cannot why."""
        reasons = {
            name: reason for name in names if (reason := self._unready(name))
        }
        if self.is_draining:
            reasons[""] = "The server is stopping."
        body = json.dumps({"ready": not reasons, "reasons": reasons})
        return messages.Response(
            _UNAVAILABLE if reasons else 200, f"{body}\n".encode()
        )

    def _unready(self, name: str) -> str:
        """Returns why a model cannot be called; empty if it can."""
        try:
            states = self._served.states(name)
        except errors.NotFoundError as error:
            return str(error)
        available = {
            version for version, state in states.items() if state.is_available
        }
        if available - self._served.stuck_versions(name):
            return ""
        if available:
            return "calls wait: all batch threads run batches that hang"
        failures = [
            f"version {number}: {state.error}"
            for number, state in states.items()
            if state.error is not None
        ]
        return "; ".join(failures) or "no version is available yet"


def _of_values(values: Mapping[str, Any]) -> messages.Response:
    return messages.Response(200, f"{json.dumps(values, indent=1)}\n".encode())
