"""Tests that the protos are those of today's TensorFlow Serving."""

import sys

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    model_service_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
    protocol_table,
)
from tensorflow_serving.config import (
    monitoring_config_pb2,
    platform_config_pb2,
    ssl_config_pb2,
)

# They import all others.
_MODULES = (
    model_service_pb2,
    monitoring_config_pb2,
    platform_config_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
    ssl_config_pb2,
)


class ProtocolTest(parameterized.TestCase):
    """Tests of the messages that go over the wire."""

    @parameterized.parameters(*protocol_table.expected())
    def test_file_is_that_of_the_protocol(self, path: str) -> None:
        """Every name, number and type is the one that clients know."""
        file = _MODULES[0].DESCRIPTOR.pool.FindFileByName(path)
        self.assertEqual(file.package, "tensorflow.serving")
        self.assertEqual(
            list(protocol_table.lines(file)), protocol_table.expected()[path]
        )

    def test_messages_do_without_tensorflow(self) -> None:
        """Clients and servers read them without importing TensorFlow."""
        self.assertNotIn("tensorflow", sys.modules)


if __name__ == "__main__":
    absltest.main()
