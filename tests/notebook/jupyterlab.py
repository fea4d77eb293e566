"""A cluster in JupyterLab, in a real browser: progress, widget, its controls, a kernel that restarts.

``python tests/notebook/jupyterlab.py FOLDER`` leaves pictures in FOLDER for people to look at. Needs
JupyterLab, ipywidgets and selenium in this Python, and Chromium with its driver on the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crewcall.program import find_program
from selenium import webdriver
from selenium.webdriver.common.by import By

# Seconds that anything may take on a busy machine.
BOUND = 180.0

NAME = f"lab-{secrets.token_hex(3)}"
CELLS = (
    f"from crewcall import Cluster\ncluster = Cluster(name={NAME!r}, workers=2)\ncluster",
    "from dask.distributed import Client\nclient = Client(cluster)\nclient.submit(sum, range(100)).result()",
)


def wait_for(what: str, condition: Callable[[], Any], seen: Callable[[], object] = lambda: "") -> Any:
    """Wait until a condition gives something true."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {BOUND:.0f} s; last seen: {seen()}")


def notebook() -> dict[str, Any]:
    """Make the notebook."""
    kernel = {"display_name": "Python", "language": "python", "name": "python3"}
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{n}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text,
        }
        for n, text in enumerate(CELLS)
    ]
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


class Server:
    """A JupyterLab of its own, without any settings of the user's."""

    def __init__(self, root: Path):
        self.token = secrets.token_hex(16)
        folders = {name: str(root / name) for name in ("config", "data", "runtime")}
        work = root / "work"
        work.mkdir()
        (work / "cluster.ipynb").write_text(json.dumps(notebook()))
        settings = root / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        self._runtime = root / "runtime"
        environment = dict(os.environ, IDENTITY_TOKEN="", IPYTHONDIR=str(root / "ipython"))
        environment["JUPYTERLAB_SETTINGS_DIR"] = str(root / "settings")
        environment |= {f"JUPYTER_{name.upper()}_DIR": folder for name, folder in folders.items()}
        log = root / "server.log"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "jupyterlab",
                        "--no-browser",
                        "--allow-root",
                        "--ServerApp.port=0",
                    ),
                    *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={work}"),
                    "--LabApp.expose_app_in_browser=True",
                ],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = wait_for("the server", self._find, lambda: log.read_text()[-2000:])

    def _find(self) -> str | None:
        for path in self._runtime.glob("jpserver-*.json"):
            try:
                return str(json.loads(path.read_text())["url"])
            except ValueError:
                continue
        return None

    def ask(self, path: str, method: str = "GET") -> Any:
        """Ask the server's own interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=BOUND) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def close(self) -> None:
        """End it with its kernels."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start a browser without a window."""
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument("--window-size=1300,1100")
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The notebook in the browser."""

    def __init__(self, driver: webdriver.Chrome, pictures: Path):
        self.driver = driver
        self._pictures = pictures

    def text(self) -> str:
        """What the outputs show."""
        outputs = self.driver.find_elements(
            By.CSS_SELECTOR, ".jp-OutputArea, .widget-tab, .lm-Widget.jupyter-widgets"
        )
        return "\n".join(output.text for output in outputs)

    def expect(self, text: str) -> None:
        """Wait until the outputs show a text."""
        wait_for(f"{text!r}", lambda: text in self.text(), self.text)

    def click(self, text: str) -> None:
        """Click on what is labelled so."""
        path = f"//*[self::button or contains(@class, 'TabBar-tab')][normalize-space()='{text}']"
        shown = f"{path} | //*[contains(@class, 'Collapse-header')][normalize-space()='{text}']"
        element = wait_for(
            f"the control {text!r}", lambda: self.driver.find_elements(By.XPATH, shown), self.text
        )[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def enter(self, label: str, value: int) -> None:
        """Write a number into the field of that label."""
        path = f"//div[contains(@class, 'widget-text')][label[normalize-space()='{label}']]/input"
        field = wait_for(f"the field {label!r}", lambda: self.driver.find_elements(By.XPATH, path))[0]
        self.driver.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
            "arguments[0].dispatchEvent(new Event('change', {bubbles: true}));",
            field,
            str(value),
        )

    def picture(self, name: str) -> None:
        """Keep what is seen now."""
        self.driver.save_screenshot(str(self._pictures / f"{name}.png"))


def phases() -> dict[str, str]:
    """The clusters that there are, and their phases."""
    printed = subprocess.run(
        [find_program(), "list", "-o", "json"], capture_output=True, text=True, check=True
    )
    return {view["name"]: view["phase"] for view in json.loads(printed.stdout)}


def use(server: Server, page: Page) -> None:
    """Go through it as a person would."""
    driver = page.driver
    driver.get(f"{server.url}lab/tree/cluster.ipynb?token={server.token}")
    ready = (
        "const shown = window.jupyterapp && window.jupyterapp.shell.currentWidget;"
        "return !!(shown && shown.context && shown.context.isReady && shown.sessionContext.isReady)"
    )
    wait_for("the notebook with its kernel", lambda: driver.execute_script(ready))
    driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_for("the progress", lambda: NAME in page.text(), page.text)
    page.picture("1-progress")
    page.expect("Dashboard:")
    page.expect("4950")
    page.expect("Scheduler Info")
    page.picture("2-status")

    page.click("Scaling")
    page.expect("Scaling mode: Manual")
    page.click("Manual Scaling")
    page.enter("Workers", 3)
    page.click("Scale")
    page.expect("Workers: 3")
    page.picture("3-scaled")

    page.click("Adaptive Scaling")
    page.enter("Minimum", 1)
    page.enter("Maximum", 4)
    page.click("Adapt")
    page.expect("Scaling mode: Adaptive, 1 to 4")
    page.picture("4-adaptive")

    (kernel,) = server.ask("api/kernels")
    assert NAME in phases()
    server.ask(f"api/kernels/{kernel['id']}/restart", "POST")
    gone = wait_for(
        "the end of the cluster", lambda: phases().get(NAME, "gone") in ("gone", "Deleting"), phases
    )
    assert gone


def main() -> None:
    """Run it; pictures are left also when it fails."""
    pictures = Path(sys.argv[1])
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cw-lab-", dir="/tmp") as name:
        os.environ["CREWCALL_STATE_DIR"] = f"{name}/state"
        os.environ["CREWCALL_RUNTIME_DIR"] = f"{name}/run"
        server = Server(Path(name))
        try:
            with browser() as driver:
                page = Page(driver, pictures)
                try:
                    use(server, page)
                except BaseException:
                    page.picture("failed")
                    raise
        finally:
            server.close()
            for words in (["delete", "--all", "-q"], ["controller", "stop"]):
                subprocess.run([find_program(), *words], capture_output=True, timeout=BOUND)
    print(f"the notebook does what it should; pictures are in {pictures}")


if __name__ == "__main__":
    main()
