"""Tests that an export that is killed leaves nothing half-made.

Apart from exporter_test, since it forks: this process must never open a
session, which would start threads.
"""

import multiprocessing
import multiprocessing.synchronize
import os
import random
import shutil
import signal
import threading
import unittest.mock

import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.session_bundle import exporter, gc, session_bundle

tf1 = tf.compat.v1

_FORK = multiprocessing.get_context("fork")
_UNFINISHED = r"^00000001\.[0-9a-f]{8}-tmp$"
_NUM_ONES = 2_000_000


def _export(
    base: str, begins: multiprocessing.synchronize.Event, version: int = 1
) -> None:
    """Exports 8 MB of variables and an asset; deletes all older versions."""
    with tf.Graph().as_default(), tf1.Session() as session:
        ones = tf1.get_variable("ones", initializer=tf.ones([_NUM_ONES]))
        tf.reduce_sum(ones, name="total")
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(
            sharded=True, write_version=tf1.train.SaverDef.V1
        )
        export = exporter.Exporter(saver)
        export.init(assets_collection=[tf.constant(__file__)])
        begins.set()
        export.export(
            base,
            tf.constant(version),
            exports_to_keep=gc.largest_export_versions(1),
        )


def _export_over(base: str, deletes: multiprocessing.synchronize.Event) -> None:
    """Exports version 2; signals when it deletes version 1."""
    delete = shutil.rmtree

    def signal_and_delete(path: str) -> None:
        deletes.set()
        delete(path)

    with unittest.mock.patch.object(shutil, "rmtree", signal_and_delete):
        _export(base, _FORK.Event(), 2)


def _load_all(*bases: str) -> None:
    """Loads every version below some folders; each must be whole."""
    for base in bases:
        for name in os.listdir(base):
            if name.isdigit():
                with session_bundle.load_session_bundle_from_path(
                    os.path.join(base, name)
                ) as bundle:
                    total = bundle.session.run("total:0")
                    assert total == _NUM_ONES, total


def _export_where_missing(*bases: str) -> None:
    """Exports version 1 to each folder without it."""
    for base in bases:
        if "00000001" not in os.listdir(base):
            _export(base, _FORK.Event())


class ExporterKillTest(absltest.TestCase):
    """kill -9, for real."""

    def _succeed(self, process: multiprocessing.process.BaseProcess) -> None:
        process.start()
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_kill_at_any_moment_leaves_no_half_made_version(self) -> None:
        """A folder named by a number is whole; others end in -tmp."""
        moments = random.Random(2016)
        kills = 0
        unfinished: dict[str, set[str]] = {}
        for _ in range(12):
            base = self.create_tempdir().full_path
            begins = _FORK.Event()
            victim = _FORK.Process(target=_export, args=(base, begins))
            victim.start()
            begins.wait()
            threading.Event().wait(moments.uniform(0.0, 0.12))
            victim.kill()
            victim.join()
            kills += victim.exitcode == -signal.SIGKILL

            unfinished[base] = set(os.listdir(base)) - {"00000001"}
            for name in unfinished[base]:
                self.assertRegex(name, _UNFINISHED)
        self.assertGreater(kills, 0)
        # Starting TensorFlow takes longer than loading or exporting.
        self._succeed(_FORK.Process(target=_load_all, args=(*unfinished,)))
        self._succeed(
            _FORK.Process(target=_export_where_missing, args=(*unfinished,))
        )
        for base, names in unfinished.items():
            self.assertEqual(set(os.listdir(base)), names | {"00000001"})

    def test_kill_while_old_versions_are_deleted_leaves_whole_ones(
        self,
    ) -> None:
        """An old version is there, or it is not."""
        base = self.create_tempdir().full_path
        self._succeed(_FORK.Process(target=_export, args=(base, _FORK.Event())))
        old = os.path.join(base, "00000001")
        for number in range(300):
            with open(os.path.join(old, f"more_{number}"), "wb"):
                pass  # so that the deletion takes a while
        deletes = _FORK.Event()
        victim = _FORK.Process(target=_export_over, args=(base, deletes))
        victim.start()
        deletes.wait()
        victim.kill()
        victim.join()
        self.assertIn("00000002", os.listdir(base))
        for name in set(os.listdir(base)) - {"00000002"}:
            self.assertRegex(name, _UNFINISHED)
        self._succeed(_FORK.Process(target=_load_all, args=(base,)))


if __name__ == "__main__":
    absltest.main()
