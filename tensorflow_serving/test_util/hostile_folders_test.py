"""Tests for hostile_folders."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import hostile_folders

_ALL = {
    "in_base_path": hostile_folders.IN_BASE_PATH,
    "in_version": hostile_folders.IN_VERSION,
    "in_place_of_file": hostile_folders.IN_PLACE_OF_FILE,
}


class HostileFoldersTest(parameterized.TestCase):
    """The odd things themselves."""

    @parameterized.named_parameters(
        (f"{kind}_{case.name}", kind, case)
        for kind, cases in _ALL.items()
        for case in cases
    )
    def test_folder_can_be_built_and_changed(
        self, kind: str, case: hostile_folders.HostileFolder
    ) -> None:
        """Something is there then, and it can be changed again and again."""
        path = self.create_tempdir().full_path
        os.mkdir(os.path.join(path, "1"))
        os.mkdir(os.path.join(path, "assets"))
        before = os.listdir(path), os.listdir(os.path.join(path, "assets"))
        is_file = kind == "in_place_of_file"
        case.build(os.path.join(path, "file") if is_file else path)
        self.assertNotEqual(
            (os.listdir(path), os.listdir(os.path.join(path, "assets"))), before
        )
        for _ in range(3):
            case.change(path)

    def test_names_are_unique(self) -> None:
        """They are the names of tests."""
        for cases in _ALL.values():
            names = [case.name for case in cases]
            self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    absltest.main()
