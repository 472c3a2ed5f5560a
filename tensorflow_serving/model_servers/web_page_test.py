"""Tests for web_page: what the files of the page may do, and who finds them."""

import json
import os
import re
from typing import Any

from absl.testing import absltest

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    model_configs,
    page_state,
    recent_errors,
    request_metrics,
    server_core,
    web_page,
)
from tensorflow_serving.test_util import model_server_folder
from tensorflow_serving.util import errors

_FILES = os.path.join(os.path.dirname(__file__), "page_files")


class WebPageTest(absltest.TestCase):
    """A page of a server with one model."""

    def setUp(self) -> None:
        """Loads a model whose name is one that HTML would break."""
        super().setUp()
        folder = self.enter_context(model_server_folder.ModelServerFolder())
        folder.write("a b&c")
        core = server_core.ServerCore(server_core.Options(), ())
        self.enter_context(core)
        core.reload(model_configs.parse(folder.config("a b&c")))
        self.page = web_page.WebPage(
            page_state.PageState(
                core,
                request_metrics.RequestMetrics(),
                core.statistics,
                recent_errors.RecentErrors(),
            )
        )

    def _get(self, path: str) -> messages.Response:
        answer = self.page.find(path)
        if answer is None:
            self.fail(f"nothing is at {path}")
        return answer()

    def _json(self, path: str) -> Any:
        return json.loads(self._get(path).body)

    def test_all_files_are_there_and_nothing_else(self) -> None:
        """The files of the folder are served, and all that they name."""
        found = {"/"} | {f"/page/{name}" for name in os.listdir(_FILES)}
        found.remove("/page/index.html")
        self.assertEqual(web_page.STATIC_PATHS, found)
        for path in found:
            text = self._get(path).body.decode()
            named = set(re.findall(r'"(/page/[a-z_]+\.[a-z]+)"', text))
            self.assertLessEqual(named, found, path)
        for path in ("/page/", "/page/web_page.py", "/page/../BUILD", "/x"):
            self.assertIsNone(self.page.find(path), path)

    def test_page_may_load_nothing_from_elsewhere(self) -> None:
        """The policy allows this server alone, and no script within HTML."""
        for path in web_page.STATIC_PATHS:
            headers = self._get(path).headers
            policy = headers["content-security-policy"]
            self.assertRegex(policy, "^default-src 'none'; ")
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            text = self._get(path).body.decode()
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacent")
            links = re.findall(r"https?://[^\s\"'<`]+", text)
            self.assertLessEqual(
                set(links),
                {
                    "http://www.w3.org/2000/svg",
                    "https://yann.lecun.org/exdb/mnist/index.html.",
                },
            )

    def test_state_of_a_model_is_found_by_any_name(self) -> None:
        """A name is encoded in the path; one that is not served is an error."""
        found = self._json("/page/models/a%20b%26c")
        self.assertEqual(found["name"], "a b&c")
        self.assertEqual(found["versions"][0]["state"], "AVAILABLE")
        (server,) = self._json("/page/state")["models"]
        self.assertEqual(server["name"], "a b&c")
        with self.assertRaisesRegex(errors.NotFoundError, "versions of model"):
            self._get("/page/models/no")

    def test_state_is_never_kept(self) -> None:
        """No cache between the server and the page shows an old state."""
        for path in ("/page/state", "/page/models/a%20b%26c"):
            headers = self._get(path).headers
            self.assertEqual(headers["cache-control"], "no-store")


if __name__ == "__main__":
    absltest.main()
