"""How the lake's benches reach a server and its files: over HTTP, and through the log of its Delta tables."""

import http.client
import json
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

TABLES = ["assignments", "messages", "deliveries", "opens", "clicks", "orders", "feedback"]
START_SECONDS_MAX = 120


class Refused(Exception):
    """The server did not answer a question."""


class Server:
    """A server on a data folder: the one that runs there, or one that is started from `program` and stopped at the end."""

    def __init__(self, data, program=None):
        self.data, self.process = Path(data), None
        if program:
            self.data.mkdir(parents=True, exist_ok=True)
            (self.data / "server.json").unlink(missing_ok=True)
            command = [program, "serve", "--data", str(self.data), "--listen", "127.0.0.1:0"]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        door = self._door()
        self.address, self.key = urllib.parse.urlsplit(door["url"]).netloc, door["key"]
        self.connection = http.client.HTTPConnection(self.address, timeout=600)

    def _door(self):
        path, end = self.data / "server.json", time.monotonic() + START_SECONDS_MAX
        while True:
            if path.exists():
                return json.loads(path.read_text())
            if not self.process:
                raise SystemExit(f"no server runs on {self.data}: start `sendlab serve --data {self.data}`, or give --sendlab PROGRAM")
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server on {self.data} did not start")
            time.sleep(0.05)

    def request(self, method, path, body=None, content_type="application/json"):
        """Status, headers and body of an answer."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": content_type}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def post(self, path, body, content_type):
        return self.request("POST", path, body, content_type)

    def sql(self, query, form="arrow"):
        """The body of the answer, whole."""
        status, _, body = self.post(f"/v1/sql?format={form}", query.encode(), "text/plain")
        if status != 200:
            raise Refused(f"{status} to\n{query}\n{body[:2000].decode()}")
        return body

    def rows(self, query):
        return json.loads(self.sql(query, "json"))

    def memory(self, field):
        """`VmRSS` or `VmHWM` in bytes; None where the server is not ours."""
        if not self.process:
            return None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)

    def forget_peak(self):
        """Sets the peak of memory back to what is used now."""
        if self.process:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self):
        self.connection.close()
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(600)


def folders(data):
    """The folder of each table that exists."""
    places = {name: Path(data) / "lake" / "tables" / name for name in TABLES}
    return {name: place for name, place in places.items() if (place / "_delta_log").is_dir()}


def live_files(data):
    """The files of each event table's newest version, as its log names them."""
    from deltalake import DeltaTable

    return {name: sorted(DeltaTable(str(folder)).file_uris()) for name, folder in folders(data).items()}


def settled_files(data, quiet_seconds, seconds_max=3600):
    """The live files once nothing has rewritten them for a while."""
    files, end = live_files(data), time.monotonic() + seconds_max
    since = time.monotonic()
    while time.monotonic() - since < quiet_seconds and time.monotonic() < end:
        time.sleep(min(1.0, quiet_seconds))
        now = live_files(data)
        if now != files:
            files, since = now, time.monotonic()
    return files
