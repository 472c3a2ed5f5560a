"""Tests for machine_memory."""

import os

from absl.testing import absltest

from tensorflow_serving.resources import machine_memory


class TotalBytesTest(absltest.TestCase):
    """A machine whose files a test writes."""

    def setUp(self) -> None:
        """Makes a machine of 8 MB."""
        super().setUp()
        self.root = self.create_tempdir().full_path
        self._write("proc/meminfo", "MemTotal:  8000 kB\nMemFree:  1 kB\n")

    def _write(self, path: str, text: str) -> None:
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def _total_bytes(self) -> int | None:
        return machine_memory.total_bytes(self.root)

    def test_machine_without_groups_has_all_its_memory(self) -> None:
        """The unit of the file is 1,024 bytes."""
        self.assertEqual(self._total_bytes(), 8000 << 10)

    def test_group_without_a_limit_has_all_memory(self) -> None:
        """Its file holds a word."""
        self._write("proc/self/cgroup", "0::/a\n")
        self._write("sys/fs/cgroup/a/memory.max", "max\n")
        self.assertEqual(self._total_bytes(), 8000 << 10)

    def test_limit_of_a_group_counts(self) -> None:
        """The files are those of the second version."""
        self._write("proc/self/cgroup", "0::/a/b\n")
        self._write("sys/fs/cgroup/a/b/memory.max", "5000\n")
        self.assertEqual(self._total_bytes(), 5000)

    def test_limit_of_a_group_above_counts(self) -> None:
        """The smallest limit is the one that is met first."""
        self._write("proc/self/cgroup", "0::/a/b\n")
        self._write("sys/fs/cgroup/a/b/memory.max", "5000\n")
        self._write("sys/fs/cgroup/a/memory.max", "4000\n")
        self.assertEqual(self._total_bytes(), 4000)

    def test_container_sees_its_group_at_the_top(self) -> None:
        """The path of the group may be that outside of the container."""
        self._write("proc/self/cgroup", "0::/docker/1234\n")
        self._write("sys/fs/cgroup/memory.max", "4000\n")
        self.assertEqual(self._total_bytes(), 4000)

    def test_limit_of_the_first_version_counts(self) -> None:
        """Other controllers have limits of other things."""
        self._write("proc/self/cgroup", "3:cpu:/x\n2:memory,hugetlb:/a\n")
        self._write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000\n")
        self.assertEqual(self._total_bytes(), 3000)

    def test_system_without_these_files_has_no_limit(self) -> None:
        """Nobody knows how much memory there is."""
        os.unlink(os.path.join(self.root, "proc/meminfo"))
        self.assertIsNone(self._total_bytes())

    def test_this_machine_has_memory(self) -> None:
        """The real files are read by default."""
        self.assertGreater(machine_memory.total_bytes() or 1 << 30, 1 << 20)


if __name__ == "__main__":
    absltest.main()
