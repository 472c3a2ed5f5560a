"""Tests for worker_memory."""

import os
from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.model_servers import model_configs, worker_memory
from tensorflow_serving.sources.storage_path import storage_path_config
from tensorflow_serving.util import errors


class RequireTest(parameterized.TestCase):
    """A model with the versions 1, 2 and 3, of 100 MiB each."""

    def setUp(self) -> None:
        """Makes the folders."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        for version in "123":
            os.makedirs(f"{self.folder}/m/{version}")
        self.paths: list[str] = []

    def _estimate(self, path: str) -> int:
        self.paths.append(path)
        return 100 << 20

    def _models(
        self,
        policy: storage_path_config.VersionPolicy,
    ) -> Sequence[model_configs.ModelConfig]:
        return [
            model_configs.ModelConfig("m", f"{self.folder}/m", policy),
            model_configs.ModelConfig("lost", f"{self.folder}/lost"),
        ]

    @parameterized.named_parameters(
        ("latest", storage_path_config.Latest(), "3"),
        ("latest_two", storage_path_config.Latest(2), "23"),
        ("all", storage_path_config.All(), "123"),
        ("specific", storage_path_config.Specific((2, 9)), "2"),
    )
    def test_versions_of_the_policy_count(
        self, policy: storage_path_config.VersionPolicy, versions: str
    ) -> None:
        """Others are not loaded, nor is a model without a folder."""
        worker_memory.require(2, self._models(policy), self._estimate, 16 << 30)
        self.assertEqual(
            self.paths, [f"{self.folder}/m/{each}" for each in versions]
        )

    def test_workers_that_do_not_fit_are_refused(self) -> None:
        """The text has every number of the sum."""
        with self.assertRaisesRegex(
            errors.ResourceExhaustedError,
            r"--num_workers=4 .*360 MiB of libraries \+ 4 x \(80 MiB of a "
            r"process \+ 100 MiB of models, as estimated\) = 1,080 MiB; got "
            "1,079 MiB of memory",
        ):
            worker_memory.require(
                4,
                self._models(storage_path_config.Latest()),
                self._estimate,
                1079 << 20,
            )

    @parameterized.parameters(1080 << 20, None)
    def test_workers_that_fit_are_not_refused(
        self, total_bytes: int | None
    ) -> None:
        """Where nobody knows how much memory there is, all do."""
        worker_memory.require(
            4,
            self._models(storage_path_config.Latest()),
            self._estimate,
            total_bytes,
        )

    def test_version_that_cannot_be_estimated_counts_nothing(self) -> None:
        """The load says what is wrong with it."""

        def fail(path: str) -> int:
            raise errors.NotFoundError(path)

        worker_memory.require(
            1, self._models(storage_path_config.Latest()), fail, 440 << 20
        )


if __name__ == "__main__":
    absltest.main()
