"""Erases contacts from a lake while events arrive, and looks for what is left of them.

usage: lake_erase.py --data DIR --sendlab PROGRAM --command COMMAND [--contacts N]

PROGRAM serves DIR, whose lake holds the events of lake_data.py. COMMAND erases: in it {keys} stands for a file of contact keys,
one a line, {data} for DIR, {url} and {key} for the way to the server. What it prints is repeated here.

Printed are the seconds until COMMAND returned, until SQL no longer sees the contacts and until no file of the lake holds one of
them, whether a table's newest version names it or not; the server's processor seconds and memory; events refused meanwhile; and
the layout before and after.
"""

import argparse
import json
import shlex
import subprocess
import threading
import time
from pathlib import Path

import duckdb
from lake_client import Server, live_files

TABLES = ["assignments", "deliveries", "opens", "clicks", "orders"]
# Rows of all files must be gone after so much work.
WORK_SECONDS_MAX, MEMORY_GIB_MAX, UNLINK_SECONDS_MAX = 20, 2, 1
WAIT_SECONDS_MAX = 1800


def processor_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class Trickle(threading.Thread):
    """Ten small requests a second; counts those that were not taken."""

    def __init__(self, data):
        super().__init__(daemon=True)
        self.server, self.ended, self.sent, self.refused, self.longest = Server(data), False, 0, 0, 0.0

    def run(self):
        while not self.ended:
            now = time.time_ns()
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            line = {"event_id": f"trickle-{now}", "kind": "delivery", "event_time": at, "contact_key": "1", "status": "delivered"}
            begin = time.monotonic()
            status, _, _ = self.server.post("/v1/events", json.dumps(line).encode(), "application/x-ndjson")
            self.longest = max(self.longest, time.monotonic() - begin)
            self.sent, self.refused = self.sent + 1, self.refused + (status != 200)
            time.sleep(0.1)


def rows_of(files, keys):
    """How many rows of these files belong to the contacts; a file that is deleted meanwhile holds none."""
    connection, found = duckdb.connect(), 0
    connection.execute("CREATE TABLE erased AS SELECT unnest(?)::BIGINT AS contact_key", [keys])
    for path in files:
        try:
            found += connection.execute(f"SELECT count(*) FROM '{path}' SEMI JOIN erased USING (contact_key)").fetchall()[0][0]
        except duckdb.IOException:
            continue
    return found


def event_files(data):
    """Every Parquet file of the event tables that is on disk."""
    return sorted(path for table in TABLES for path in (Path(data) / "lake" / "tables" / table).glob("event_date=*/*.parquet"))


def layout(data):
    """Files, bytes, rows a row group, and the share of rows that follow their predecessor in (experiment, contact)."""
    files = [path for paths in live_files(data).values() for path in paths if "event_date=" in path]
    connection, groups, ordered, rows = duckdb.connect(), [], 0, 0
    size = sum(Path(path.removeprefix("file://")).stat().st_size for path in files)
    for path in files:
        groups += [n for (n,) in connection.execute(f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{path}')").fetchall()]
        pair = "(coalesce(experiment_id, ''), contact_key)"
        follows = f"SELECT {pair} >= lag({pair}) OVER (ORDER BY file_row_number) AS ok FROM read_parquet('{path}', file_row_number = true)"
        of, all_rows = connection.execute(f"SELECT count(*) FILTER (ok IS NOT false), count(*) FROM ({follows})").fetchall()[0]
        ordered, rows = ordered + of, rows + all_rows
    return f"{len(files)} files, {size / 1e6:.0f} MB, row groups up to {max(groups)} rows, {ordered / rows:.2%} of {rows:,} rows in order"


def until(work, begin):
    """Seconds since `begin` when `work` first gave 0."""
    while time.monotonic() - begin < WAIT_SECONDS_MAX:
        if work() == 0:
            return time.monotonic() - begin
        time.sleep(0.2)
    raise SystemExit("what was erased is still there")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sendlab", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--contacts", type=int, default=1000)
    arguments = parser.parse_args()
    server = Server(arguments.data, arguments.sendlab)
    try:
        measure(arguments, server)
    finally:
        server.stop()


def measure(arguments, server):
    keys = [row["contact_key"] for row in server.rows(
        f"SELECT DISTINCT contact_key FROM clicks ORDER BY contact_key LIMIT {arguments.contacts}")]
    file = arguments.data.parent / "erase-keys.txt"
    file.write_text("".join(f"{key}\n" for key in keys))
    everywhere = " UNION ALL ".join(f"SELECT count(*) AS n FROM {table} WHERE contact_key IN ({', '.join(map(str, keys))})" for table in TABLES)
    seen = lambda: server.rows(f"SELECT CAST(sum(n) AS BIGINT) AS n FROM ({everywhere})")[0]["n"]
    print(f"{len(keys)} contacts, {seen():,} rows seen by SQL, {rows_of(event_files(arguments.data), keys):,} rows in all files")
    print(f"  before: {layout(arguments.data)}")
    trickle = Trickle(arguments.data)
    trickle.start()
    server.forget_peak()
    words = {"keys": str(file), "data": str(arguments.data), "url": f"http://{server.address}", "key": server.key}
    used, begin = processor_seconds(server), time.monotonic()
    done = subprocess.run(shlex.split(arguments.command.format(**words)), stdout=subprocess.PIPE, text=True, check=True)
    returned = time.monotonic() - begin
    unseen = until(seen, begin)
    clean = until(lambda: rows_of(event_files(arguments.data), keys), begin)
    used = processor_seconds(server) - used
    trickle.ended = True
    trickle.join()
    peak = server.memory("VmHWM") / 2**30
    holds = lambda good: "holds" if good else "BROKEN"
    print(done.stdout)
    print(f"  the command returned after {returned:.2f} s; SQL sees none after {unseen:.2f} s (unlinkable within {UNLINK_SECONDS_MAX} s is promised)")
    print(f"  no file holds one after {clean:.1f} s and {used:.1f} processor seconds; promised {WORK_SECONDS_MAX} s of work: {holds(min(clean, used) <= WORK_SECONDS_MAX)}")
    print(f"  peak of memory {peak:.2f} GiB; promised under {MEMORY_GIB_MAX}: {holds(peak < MEMORY_GIB_MAX)}")
    print(f"  {trickle.refused} of {trickle.sent} requests refused meanwhile, the longest took {trickle.longest * 1000:.0f} ms: {holds(trickle.refused == 0)}")
    print(f"  after:  {layout(arguments.data)}")


if __name__ == "__main__":
    main()
