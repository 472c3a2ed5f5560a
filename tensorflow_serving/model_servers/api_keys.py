"""The keys that callers of the model server must have.

Example:
    with api_keys.ApiKeys("/etc/keys") as keys:
        rpc.options.Options(access=keys)
        http.options.Options(admit=keys.admit)

Each request carries one in its metadata, or its header fields:

    authorization: Bearer 0YwYq3m5t1lVd8Hn1b0OqK2s

Health is open to everybody: those who ask for it restart servers or send calls
elsewhere, know nothing of keys, and learn nothing but that. So is the question
of a browser whether it may ask, and the files of the web page, which asks for a
key before it can show anything. All else needs a key, reflection and metrics
included: they tell what there is and how much it is used, and those who want
them can send a key.
"""

import hashlib
import hmac
import threading
from collections.abc import Sequence
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import web_page
from tensorflow_serving.rpc import call
from tensorflow_serving.util import api_key_file, errors

FLAG: Final = "api_key_file"
_HEADER: Final = "authorization"
_SCHEME: Final = "bearer"
_OPEN_SERVICE: Final = "/grpc.health.v1.Health/"
_OPEN_PATHS: Final = {"/healthz", "/readyz"} | web_page.STATIC_PATHS
_OPEN_FOLDER: Final = "/readyz/"
_PREFLIGHT: Final = "OPTIONS"
_PERIOD_SECONDS: Final = 1.0

# The digests of keys, which all have the same length.
_Digests = tuple[bytes, ...]


class ApiKeys:
    """The keys in a file, which is looked at every second.

    What was found there twice in a row takes effect: a file that is just being
    written is left alone. One that cannot be read, or holds no keys, changes
    nothing, and is logged once.

    A key is compared with each of those in the file, in a time that does not
    depend on where they differ. Keys are never logged, nor are those who have
    none: there may be any number of them.

    An Access of rpc. A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self, path: str, period_seconds: float = _PERIOD_SECONDS
    ) -> None:
        """Reads the keys, and starts a thread.

        Args:
          path: See api_key_file.
          period_seconds: How often to look at the file; 0 for only when
            poll_once() is called.

        Raises:
          InvalidArgumentError: See api_key_file.read(). Permanent.
        """
        self._path = path
        self._period_seconds = period_seconds
        # Is replaced as a whole, by another object.
        self.epoch: _Digests = _read(path)
        # The digests that were found last, or the text of an error; and the
        # last ones that were found twice.
        self._found: _Digests | str = self.epoch
        self._settled: _Digests | str = self.epoch
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api_keys")
        self._thread.start()

    def refusal(
        self, path: str, metadata: call.Metadata
    ) -> errors.ServingError | None:
        """See rpc.access.Access."""
        if path.startswith(_OPEN_SERVICE):
            return None
        # The last of several, as in a request of HTTP.
        return self._refusal(str(dict(metadata).get(_HEADER, "")))

    def admit(self, request: messages.Request) -> None:
        """Admits a request of HTTP.

        Raises:
          UnauthenticatedError: It has no key, or another one. Permanent.
        """
        path = request.path
        if (
            request.method == _PREFLIGHT
            or path in _OPEN_PATHS
            or path.startswith(_OPEN_FOLDER)
        ):
            return
        refusal = self._refusal(request.headers.get(_HEADER, ""))
        if refusal is not None:
            raise refusal

    def poll_once(self) -> None:
        """Looks at the file."""
        try:
            found: _Digests | str = _read(self._path)
        except errors.InvalidArgumentError as error:
            found = str(error)
        is_settled = found == self._found
        self._found = found
        if not is_settled or found == self._settled:
            return
        self._settled = found
        if isinstance(found, str):
            logging.warning("The API keys stay as they are: %s", found)
        elif found != self.epoch:
            self.epoch = found
            logging.info(
                "The API keys are other ones now; their number is %d",
                len(found),
            )

    def close(self) -> None:
        """Ends the thread. Idempotent."""
        self._is_closed.set()
        self._thread.join()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _refusal(self, header: str) -> errors.UnauthenticatedError | None:
        scheme, _, key = header.partition(" ")
        if not header:
            got = "none"
        elif scheme.lower() != _SCHEME:
            got = "another scheme"
        elif _is_any(_digest(key.strip()), self.epoch):
            return None
        else:
            got = "another key"
        return errors.UnauthenticatedError(
            "authorization must be Bearer and an API key of this server; got "
            f"{got}"
        )

    def _run(self) -> None:
        while not self._is_closed.wait(self._period_seconds or None):
            try:
                self.poll_once()
            except Exception:
                logging.exception("Looking at the API keys failed; going on")


def _read(path: str) -> _Digests:
    return tuple(map(_digest, api_key_file.read(path, FLAG)))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _is_any(digest: bytes, digests: Sequence[bytes]) -> bool:
    """Compares a digest with all others, also after an equal one."""
    is_any = False
    for each in digests:
        is_any |= hmac.compare_digest(digest, each)
    return is_any
