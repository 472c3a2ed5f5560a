"""Tests for status."""

import grpc
from absl.testing import absltest

from tensorflow_serving.rpc import status
from tensorflow_serving.util import errors


class StatusTest(absltest.TestCase):
    """Errors of this project as gRPC statuses."""

    def test_every_code_keeps_its_number(self) -> None:
        """GRPC and this project mean the same by it."""
        for code in errors.StatusCode:
            if code is not errors.StatusCode.OK:
                grpc_code = status.to_grpc(errors.from_code(code, ""))
                self.assertEqual(grpc_code.value[0], code)

    def test_error_without_a_code_is_unknown(self) -> None:
        """The base class says nothing more."""
        self.assertEqual(
            status.to_grpc(errors.ServingError("x")), grpc.StatusCode.UNKNOWN
        )


if __name__ == "__main__":
    absltest.main()
