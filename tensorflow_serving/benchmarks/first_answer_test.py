"""Tests for first_answer, with a server made up here."""

from absl.testing import absltest

from tensorflow_serving.benchmarks import first_answer
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_SERVICE = mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"]
_ANSWER = mnist_inference_pb2.MnistResponse(value=[1.0] * 10)


def _ask(failures: list[errors.ServingError], timeout_seconds: float) -> bytes:
    """Asks a server that fails in these ways, and then answers."""

    def classify(
        request: mnist_inference_pb2.MnistRequest,
    ) -> mnist_inference_pb2.MnistResponse:
        if failures:
            raise failures.pop(0)
        return _ANSWER

    service = call_lib.Service(_SERVICE, {"Classify": classify})
    with server_lib.Server("127.0.0.1:0", [service]) as server:
        server.start()
        return first_answer.ask(
            f"127.0.0.1:{server.port}", b"", timeout_seconds
        )


class FirstAnswerTest(absltest.TestCase):
    """The first answer."""

    def test_server_is_asked_until_it_answers(self) -> None:
        """It is not ready yet; that passes."""
        failures: list[errors.ServingError] = [
            errors.UnavailableError("not yet"),
            errors.UnavailableError("not yet"),
        ]
        self.assertEqual(_ask(failures, 60.0), _ANSWER.SerializeToString())
        self.assertEqual(failures, [])

    def test_other_failures_are_final(self) -> None:
        """They would come again."""
        with self.assertRaisesRegex(errors.DataLossError, "got it is gone"):
            _ask([errors.DataLossError("it is gone")], 60.0)


if __name__ == "__main__":
    absltest.main()
