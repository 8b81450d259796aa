"""The installed Firefox through its Marionette protocol; Playwright drives only its own build."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

PREFERENCES = {
    "marionette.port": 0,  # one that is free; the profile then says which
    "intl.accept_languages": "en-GB",
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.dns.disabled": True,
    "fission.autostart": False,
}
FLAGS = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote")
STARTS = 60.0  # seconds
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # https://www.w3.org/TR/webdriver/#elements

# A request of a page's own, and of nothing else; a preference is what a later script finds again.
_WATCH = """
Services.prefs.setStringPref("ptx.requests", "[]");
Services.obs.addObserver({ observe(subject) {
  const channel = subject.QueryInterface(Ci.nsIHttpChannel);
  if (channel.loadInfo.triggeringPrincipal.isSystemPrincipal) return;
  const known = JSON.parse(Services.prefs.getStringPref("ptx.requests"));
  Services.prefs.setStringPref("ptx.requests", JSON.stringify([...known, channel.URI.spec]));
} }, "http-on-modify-request");
"""
_REQUESTS = 'return JSON.parse(Services.prefs.getStringPref("ptx.requests"));'
_ERRORS = """
return Services.console.getMessageArray()
  .filter((message) => message instanceof Ci.nsIScriptError && /^(file|blob):/.test(message.sourceName))
  .map((message) => message.errorMessage);
"""


class Firefox:
    """One window. `profile`: an empty folder."""

    def __init__(self, program: str, profile: Path, **preferences: Any) -> None:
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in {**PREFERENCES, **preferences}.items()
        )
        (profile / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [program, *FLAGS, "--profile", str(profile)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        try:
            self._socket = self._connect(profile / "MarionetteActivePort")
            self._receive()  # it says what it is
            self.ask("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
            self.browse(_WATCH)
        except BaseException:
            self.close()
            raise

    def _connect(self, port: Path) -> socket.socket:
        end = time.monotonic() + STARTS
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                return socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=120)
            time.sleep(0.1)
        raise OSError("Firefox does not start")

    def ask(self, command: str, **given: Any) -> Any:
        """What a command of Marionette gives."""
        self._number += 1
        text = json.dumps([0, self._number, command, given])
        self._socket.sendall(f"{len(text.encode())}:{text}".encode())
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result.get("value") if isinstance(result, dict) and "value" in result else result

    def _receive(self) -> Any:
        head = b""
        while not head.endswith(b":"):
            head += self._read(1)
        return json.loads(self._read(int(head[:-1])))

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self._socket.recv(size - len(content))
            if not part:
                raise OSError("Firefox has ended")
            content += part
        return content

    def show(self, path: Path) -> None:
        """Open a file as a double click does."""
        self.ask("WebDriver:Navigate", url=path.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns; a promise is waited for."""
        text = f"return (async () => {{ {script} }})()"
        return self.ask("WebDriver:ExecuteScript", script=text, args=list(arguments))

    def browse(self, script: str) -> Any:
        """What a script in the browser itself returns."""
        self.ask("Marionette:SetContext", value="chrome")
        found = self.ask("WebDriver:ExecuteScript", script=script, args=[], sandbox="system")
        self.ask("Marionette:SetContext", value="content")
        return found

    def text(self, selector: str, holding: str = "") -> str:
        """The text of an element once it has one that is shown and holds this; empty after 60 s."""
        return str(
            self.run(
                """
                for (let tries = 0; tries < 600; tries += 1) {
                  const found = document.querySelector(arguments[0]);
                  const text = found?.innerText ?? "";
                  if (text && !text.includes("…") && text.includes(arguments[1])) return text;
                  await new Promise((done) => setTimeout(done, 100));
                }
                return "";
                """.replace("arguments[0]", json.dumps(selector)).replace(
                    "arguments[1]", json.dumps(holding)
                )
            )
        )

    def choose(self, selector: str, path: Path) -> None:
        """Give a file to an input."""
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        self.ask("WebDriver:ElementSendKeys", id=found[ELEMENT], text=str(path))

    @property
    def requests(self) -> list[str]:
        """Addresses that a page asked the network for."""
        return list(self.browse(_REQUESTS))

    @property
    def errors(self) -> list[str]:
        """What the console tells of files."""
        return list(self.browse(_ERRORS))

    def close(self) -> None:
        """End the program, whatever became of it."""
        if opened := getattr(self, "_socket", None):
            opened.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
