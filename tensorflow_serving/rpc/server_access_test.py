"""Tests for server: callers that may not call."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    call,
    echo_service,
    grpcio_lane,
    h2_client,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_OPEN = "/grpc.health.v1.Health/Check"
_KEY = "x-key"


class _Access:
    """Lets those call who know a word, and all who ask for health."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.num_questions = 0
        self.epoch: object = word

    def change(self, word: str) -> None:
        """Has another word count from now on."""
        self.word = word
        self.epoch = word

    def refusal(
        self, path: str, metadata: call.Metadata
    ) -> errors.ServingError | None:
        self.num_questions += 1
        if path == _OPEN or (_KEY, self.word) in metadata:
            return None
        return errors.UnauthenticatedError("The word is another one.")


class ServerAccessTest(parameterized.TestCase):
    """A server that asks for a word."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server and a client."""
        super().setUp()
        self.access = _Access("sesame")
        self.echo = echo_service.EchoService()
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [self.echo.service()],
                server_lib.Options(access=self.access, max_concurrent_calls=8),
                self.lane_class,
            )
        )
        self.server.start()
        self.client = self.enter_context(h2_client.H2Client(self.server.port))

    def _code(self, path: str = echo_service.ECHO, word: str = "") -> _Code:
        headers = [(_KEY, word)] if word else []
        message = echo_service.message("hello")
        stream_id = self.client.begin(path, headers)
        self.client.send(stream_id, h2_client.message(message), ends=True)
        return _Code(self.client.response(stream_id).code)

    def test_caller_with_the_word_may_call(self) -> None:
        """The word is all that is asked for."""
        self.assertEqual(self._code(word="sesame"), _Code.OK)

    @parameterized.parameters("", "Sesame", "sesame2")
    def test_caller_without_it_is_refused(self, word: str) -> None:
        """The answer comes before the request, with the text of the refusal."""
        stream_id = self.client.begin(echo_service.ECHO, [(_KEY, word)])
        response = self.client.response(stream_id)
        self.assertEqual(_Code(response.code), _Code.UNAUTHENTICATED)
        self.assertEqual(response.text, "The word is another one.")

    @parameterized.parameters(
        "/no.Such/Method",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
        echo_service.ECHO,
    )
    def test_methods_of_all_kinds_are_closed(self, path: str) -> None:
        """Nobody learns without the word which methods there are."""
        self.assertEqual(self._code(path), _Code.UNAUTHENTICATED)
        self.assertEqual(
            self._code("/no.Such/Method", "sesame"), _Code.UNIMPLEMENTED
        )

    def test_it_may_leave_methods_open(self) -> None:
        """The service itself answers, which knows nothing of "hello"."""
        self.assertEqual(self._code(_OPEN), _Code.NOT_FOUND)

    def test_answer_may_change(self) -> None:
        """A connection that was let in may be refused later."""
        self.assertEqual(self._code(word="sesame"), _Code.OK)
        self.access.change("simsim")
        self.assertEqual(self._code(word="sesame"), _Code.UNAUTHENTICATED)
        self.assertEqual(self._code(word="simsim"), _Code.OK)
        self.access.change("sesame")
        self.assertEqual(self._code(word="sesame"), _Code.OK)

    def test_those_who_are_refused_take_no_turn(self) -> None:
        """Calls that are refused do not count as calls that run."""
        for _ in range(100):
            stream_id = self.client.begin(echo_service.ECHO)
            self.client.response(stream_id)
        self.assertEqual(self._code(word="sesame"), _Code.OK)


class GrpcioLaneServerAccessTest(ServerAccessTest):
    """The same on the other lane."""

    lane_class = grpcio_lane.GrpcioLane


class WireLaneServerAccessTest(ServerAccessTest):
    """More that only this project's lane does."""

    def test_question_is_asked_once_for_equal_heads(self) -> None:
        """A client that repeats its header fields is known."""
        for _ in range(100):
            self.assertEqual(self._code(word="sesame"), _Code.OK)
        self.assertLess(self.access.num_questions, 5)


if __name__ == "__main__":
    absltest.main()
