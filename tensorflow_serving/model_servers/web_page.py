"""The web page on GET / of the REST API: its files, and what it asks for.

Example:
    page = web_page.WebPage(state)
    if answer := page.find("/"):
        answer()

The page is in page_files: HTML, a style and modules of JavaScript, as they are.
It runs in the browser, asks for /page/state once a second, and sends requests
to the REST API like any other client.
"""

import functools
import os
import urllib.parse
from collections.abc import Callable
from typing import Final

import orjson

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import page_state

_FOLDER: Final = os.path.join(os.path.dirname(__file__), "page_files")
_INDEX: Final = "index.html"
_FILES: Final = (
    "charts.js",
    "digit_pad.js",
    "drawing.js",
    "elements.js",
    "errors_view.js",
    "icon.svg",
    "main.js",
    "metrics.js",
    "model_view.js",
    "overview.js",
    "rates.js",
    "server_api.js",
    "signature_form.js",
    "style.css",
    "tensors.js",
    "versions.js",
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".js": "text/javascript; charset=utf-8",
}
# Nothing comes from elsewhere, and no script or style is within a page.
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_NEVER_KEPT: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_STATE: Final = "/page/state"
_MODEL: Final = "/page/models/"

# The paths of what is the same for everybody, and says nothing of a server.
STATIC_PATHS: Final = frozenset(("/", *(f"/page/{name}" for name in _FILES)))


class WebPage:
    """Answers what is asked with GET by people, and by the page itself.

    Thread-safe.
    """

    def __init__(self, state: page_state.PageState) -> None:
        """Reads the files of the page.

        Args:
          state: Read anew each time that a page asks.
        """
        self._state = state
        self._files = {f"/page/{name}": _file(name) for name in _FILES}
        self._files["/"] = _file(_INDEX)

    def find(self, path: str) -> Callable[[], messages.Response] | None:
        """Finds what makes the answer to a path, None if there is nothing.

        That may take some milliseconds, and raises NotFoundError if the path is
        that of a model that is not there.
        """
        if found := self._files.get(path):
            return lambda: found
        if path == _STATE:
            return self._of_server
        if path.startswith(_MODEL):
            name = urllib.parse.unquote(path.removeprefix(_MODEL))
            return functools.partial(self._of_model, name)
        return None

    def drain(self) -> None:
        """Says from now on that the process is about to end."""
        self._state.is_draining = True

    def _of_server(self) -> messages.Response:
        return _of_values(self._state.of_server())

    def _of_model(self, name: str) -> messages.Response:
        return _of_values(self._state.of_model(name))


def _file(name: str) -> messages.Response:
    with open(os.path.join(_FOLDER, name), "rb") as file:
        return messages.Response(
            200, file.read(), _TYPES[os.path.splitext(name)[1]], _HEADERS
        )


def _of_values(values: object) -> messages.Response:
    return messages.Response(200, orjson.dumps(values), headers=_NEVER_KEPT)
