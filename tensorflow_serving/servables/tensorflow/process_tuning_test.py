"""Tests for process_tuning."""

import os
import sys
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.servables.tensorflow import process_tuning


class ProcessTuningTest(absltest.TestCase):
    """Settings of the process."""

    def test_threads_switch_faster(self) -> None:
        """A thread that waits for the interpreter gets it within 1 ms."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        with mock.patch.dict(os.environ):
            process_tuning.tune()
        self.assertLess(sys.getswitchinterval(), 0.001)

    def test_tensorflow_logs_errors_only(self) -> None:
        """The environment can say otherwise."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        name = "TF_CPP_MIN_LOG_LEVEL"
        with mock.patch.dict(os.environ):
            os.environ.pop(name, None)
            process_tuning.tune()
            self.assertEqual(os.environ[name], "2")
            os.environ[name] = "0"
            process_tuning.tune()
            self.assertEqual(os.environ[name], "0")


if __name__ == "__main__":
    absltest.main()
