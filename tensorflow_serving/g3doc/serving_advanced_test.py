"""Runs the end of serving_advanced.md, where the model server takes over."""

import pathlib

from absl.testing import absltest

from tensorflow_serving.test_util import markdown_session

_FOLDER = pathlib.Path(__file__).parent


class ServingAdvancedTest(absltest.TestCase):
    """The page, without what mnist_inference_2_test does with its server."""

    def test_model_server_serves_what_the_tutorial_has_trained(self) -> None:
        """Both versions answer, and the one that was trained longer is better.

        The bundled digits are there without a download; a shorter training is
        enough to tell the versions apart.
        """
        markdown_session.run(
            _FOLDER / "serving_advanced.md",
            workspace=_FOLDER.parents[1],
            folder=self.create_tempdir().full_path,
            sections=["Train two versions", "Serve it to any client"],
            meanings={
                "mnist_export ": "mnist_export --dataset=digits ",
                "--training_iteration=2000": "--training_iteration=500",
                'read_test_set("/tmp")': 'read_test_set("/tmp", "digits")',
            },
        )


if __name__ == "__main__":
    absltest.main()
