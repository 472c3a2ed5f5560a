"""Tests for relocated_imports."""

from absl.testing import absltest, parameterized

from tools.proto import relocated_imports


class RelocatedImportsTest(parameterized.TestCase):
    """Imports of generated modules."""

    @parameterized.parameters(
        (
            "from tensorflow.core.framework import op_def_pb2 as a_dot_b",
            "from here.protos import op_def_pb2 as a_dot_b",
        ),
        (
            "from xla.tsl.protobuf import rpc_options_pb2 as x",
            "from here.protos import tsl_rpc_options_pb2 as x",
        ),
        (
            "from tensorflow.core.protobuf.rpc_options_pb2 import *",
            "from here.protos.rpc_options_pb2 import *",
        ),
        (
            "from google.protobuf import any_pb2 as y",
            "from google.protobuf import any_pb2 as y",
        ),
        (
            "    '''from tensorflow.core import x_pb2'''",
            "    '''from tensorflow.core import x_pb2'''",
        ),
    )
    def test_import_of_a_proto_of_tensorflow_is_relocated(
        self, line: str, expected: str
    ) -> None:
        """Other imports, and texts that look like imports, stay."""
        text = "import builtins\n{}\nx = 1\n"
        self.assertEqual(
            relocated_imports.relocate(text.format(line), "here.protos"),
            text.format(expected),
        )

    def test_protos_of_one_name_become_two_modules(self) -> None:
        """TensorFlow and TSL both have rpc_options.proto."""
        self.assertNotEqual(
            relocated_imports.module_name("xla/tsl/protobuf", "rpc_options"),
            relocated_imports.module_name(
                "tensorflow/core/protobuf", "rpc_options"
            ),
        )


if __name__ == "__main__":
    absltest.main()
