"""How long a query waits for the newest snapshot of a table with many commits.

usage: lake_commits.py --folder DIR --sendlab PROGRAM [--commits N ...] [--rounds N]

Makes a data folder in DIR whose deliveries came in N commits of one small file each, with a checkpoint as a writer leaves one,
starts PROGRAM there and asks: at once after the start, and again after every new event, so that each look needs a new snapshot.
Time is that of the whole request, beside that of `SELECT 1`.
"""

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from lake_client import Server
from lake_data import statistics as file_statistics

PROMISE_MILLIS = 50
ROWS = 20
DAY = "2026-10-01"
COLUMNS = """lower(to_hex(hash({n} * 1000 + i))) AS event_id, timezone('UTC', TIMESTAMP '{day}' + to_seconds({n})) AS event_time,
  timezone('UTC', TIMESTAMP '{day}' + to_seconds({n} + 1)) AS received_at, (1 + hash(i) % 1000)::BIGINT AS contact_key, NULL::VARCHAR AS message_id,
  'c-1' AS campaign_id, 'exp-1' AS experiment_id, 'A' AS variant, 'email' AS channel, 'DE' AS market, NULL::VARCHAR AS provider,
  NULL::VARCHAR AS recommendation_id, 'delivered' AS status, NULL::VARCHAR AS reply"""


def commit_many(data, commits):
    """So many commits that a Delta writer could have made."""
    table = data / "lake" / "tables" / "deliveries"
    log, place = table / "_delta_log", table / f"event_date={DAY}"
    place.mkdir(exist_ok=True)
    first = max(int(path.stem) for path in log.glob("*.json")) + 1
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for n in range(commits):
        path = place / f"many-{n:06}.parquet"
        rows = COLUMNS.format(n=n, day=DAY)
        connection.execute(f"COPY (SELECT {rows} FROM range({ROWS}) t(i)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        add = {
            "path": f"event_date={DAY}/{path.name}", "partitionValues": {"event_date": DAY}, "size": path.stat().st_size,
            "modificationTime": int(time.time() * 1000), "dataChange": True, "stats": json.dumps(file_statistics(connection, path)),
        }
        (log / f"{first + n:020}.json").write_text(json.dumps({"add": add}) + "\n")
    DeltaTable(str(table)).create_checkpoint()


def millis(work):
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def look(server, rounds):
    """Sends an event and asks for it until it is seen: the time of the request that saw it, and of the waiting."""
    opened, seen = [], []
    query = "SELECT count(*) AS n FROM deliveries WHERE event_date = current_date AND experiment_id = 'exp-look'"
    for number in range(1, rounds + 1):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = {"event_id": f"look-{number}-{time.time_ns()}", "kind": "delivery", "event_time": at, "contact_key": "1"}
        line |= {"experiment_id": "exp-look", "status": "delivered"}
        status, _, body = server.post("/v1/events", json.dumps(line).encode(), "application/x-ndjson")
        assert status == 200, body
        begin, found = time.perf_counter(), 0
        while found < number:
            moment = time.perf_counter()
            found = server.rows(query)[0]["n"]
        opened.append((time.perf_counter() - moment) * 1000)
        seen.append((time.perf_counter() - begin) * 1000)
    return opened, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sendlab", required=True)
    parser.add_argument("--commits", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    for commits in arguments.commits:
        data = arguments.folder / f"commits-{commits}"
        shutil.rmtree(data, ignore_errors=True)
        Server(data, arguments.sendlab).stop()
        commit_many(data, commits)
        begin = time.perf_counter()
        server = Server(data, arguments.sendlab)
        try:
            started = (time.perf_counter() - begin) * 1000
            counted = server.rows("SELECT count(*) AS n FROM deliveries")[0]["n"]
            assert counted == commits * ROWS, counted
            nothing = statistics.median(millis(lambda: server.sql("SELECT 1")) for _ in range(20))
            opened, seen = look(server, arguments.rounds)
        finally:
            server.stop()
        middle, longest = statistics.median(opened) - nothing, max(opened) - nothing
        holds = "holds" if longest <= PROMISE_MILLIS else "BROKEN"
        print(f"{commits:>7} commits: the server starts in {started:.0f} ms; the first query of a new snapshot takes {middle:.1f} ms more than SELECT 1 ({nothing:.1f} ms), at most "
              f"{longest:.1f}; promised {PROMISE_MILLIS}: {holds}; an event is seen after {statistics.median(seen):.0f} ms", flush=True)
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
