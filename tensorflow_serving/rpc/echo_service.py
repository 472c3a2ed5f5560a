"""A service for tests that call a server with clients of many kinds."""

import queue
import threading

from tensorflow_serving.rpc import call, echo_pb2
from tensorflow_serving.util import errors

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
NAME = _SERVICE.full_name
ECHO = f"/{NAME}/Echo"
CHAT = f"/{NAME}/Chat"

# Texts of requests that are not echoed.
REFUSE = "refuse"
KEEP = "keep"

# The error of REFUSE.
REFUSAL = "echo must be of another text; got 100% of 'refuse' ☃"


def message(text: str) -> bytes:
    """Returns a request, or the response that echoes it."""
    return echo_pb2.EchoRequest(text=text).SerializeToString()


class EchoService:
    """Echoes texts, as soon as no other call is waiting to begin.

    Echo has one request. REFUSE gets NOT_FOUND with the text REFUSAL; KEEP gets
    what the test replies, which finds the call in `kept`.

    Chat echoes each request of a call with many, and ends when they do.
    """

    def __init__(self) -> None:
        # The calls that the test replies to.
        self.kept: queue.Queue[call.Call] = queue.Queue()
        # Released whenever the caller of one of them leaves.
        self.left = threading.Semaphore(0)
        # How many texts were echoed; written by the thread of the calls.
        self.num_echoes = 0
        self._waiting: list[call.Call] = []

    def service(self) -> call.Service:
        """Returns the service for a server."""
        return call.Service(
            _SERVICE,
            async_methods={"Echo": self._begin},
            stream_methods={"Chat": self._chat},
            when_idle=self._answer,
        )

    def _begin(self, each: call.Call) -> None:
        request = call.parse(echo_pb2.EchoRequest, each.request)
        if request.text == REFUSE:
            raise errors.NotFoundError(REFUSAL)
        if request.text == KEEP:
            each.on_cancelled = self.left.release
            self.kept.put(each)
            return
        self._waiting.append(each)

    def _answer(self) -> None:
        calls, self._waiting = self._waiting, []
        if calls:
            self.num_echoes += len(calls)
            call.reply_all(calls, [each.request for each in calls])

    def _chat(self, each: call.StreamCall) -> None:
        each.on_request = each.send
        each.on_requests_end = each.finish
