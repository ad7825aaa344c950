"""Times how fast DuckDB and chdb load lines of events, two threads each: the peers of `benches/ingest`.

usage: lake_peers.py FILE.ndjson FOLDER [--lines N]

FILE holds lines of POST /v1/events; without --lines all of them are loaded. Each peer runs in a process of its own and writes
into FOLDER. Prints a JSON object of wall seconds, processor seconds and rows by peer. None of them checks for
duplicates but the one that says so, none syncs what it writes, and all see the whole file at once.
"""

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

TEXTS = "event_id kind message_id campaign_id experiment_id variant channel market status url order_id currency".split()
# How a peer names the types of: text, a time, a number of digits, money.
DUCKDB_TYPES = ("VARCHAR", "TIMESTAMP", "BIGINT", "DECIMAL(18, 2)")
CHDB_TYPES = ("Nullable(String)", "DateTime64(6, 'UTC')", "Int64", "Nullable(Decimal(18, 2))")


def columns(types):
    text, at, digits, money = types
    return {**{name: text for name in TEXTS}, "event_time": at, "contact_key": digits, "amount": money}


def duckdb_source(file):
    import duckdb

    connection = duckdb.connect(str(Path(file.folder) / "peer.duckdb"))
    connection.execute("SET threads = 2; SET preserve_insertion_order = false; SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    typed = ", ".join(f"{name}: '{kind}'" for name, kind in columns(DUCKDB_TYPES).items())
    return connection, f"SELECT * FROM read_json('{file.path}', format = 'newline_delimited', columns = {{{typed}}})"


def duckdb_parquet(file):
    connection, rows = duckdb_source(file)
    return connection.execute(f"COPY ({rows}) TO '{file.folder}/peer.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)").fetchone()[0]


def duckdb_own(file):
    connection, rows = duckdb_source(file)
    return connection.execute(f"CREATE TABLE events AS {rows}").fetchone()[0]


def duckdb_unique(file):
    connection, rows = duckdb_source(file)
    definition = ", ".join(f"{name} {kind}" + (" PRIMARY KEY" if name == "event_id" else "") for name, kind in columns(DUCKDB_TYPES).items())
    connection.execute(f"CREATE TABLE events ({definition})")
    return connection.execute(f"INSERT OR IGNORE INTO events BY NAME {rows}").fetchone()[0]


def chdb_source(file):
    from chdb import session

    typed = ", ".join(f"{name} {kind}" for name, kind in columns(CHDB_TYPES).items())
    settings = "SETTINGS max_threads = 2, max_insert_threads = 2, date_time_input_format = 'best_effort'"
    opened = session.Session(str(Path(file.folder) / "peer.chdb"))
    opened.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
    return opened, typed, f"SELECT * FROM file('{file.path}', 'JSONEachRow', '{typed.replace(chr(39), chr(92) + chr(39))}')", settings


def chdb_mergetree(file):
    opened, typed, rows, settings = chdb_source(file)
    order = "ORDER BY (experiment_id, contact_key, event_time) SETTINGS allow_nullable_key = 1"
    opened.query(f"CREATE TABLE bench.events ({typed}) ENGINE = MergeTree {order}")
    opened.query(f"INSERT INTO bench.events {rows} {settings}")
    return int(str(opened.query("SELECT count() FROM bench.events", "CSV")))


def chdb_parquet(file):
    opened, _, rows, settings = chdb_source(file)
    out = f"{file.folder}/peer.parquet"
    opened.query(f"INSERT INTO FUNCTION file('{out}', 'Parquet') {rows} {settings}, output_format_parquet_compression_method = 'zstd'")
    return int(str(opened.query(f"SELECT count() FROM file('{out}', 'Parquet')", "CSV")))


PEERS = {
    "DuckDB to Parquet": duckdb_parquet,
    "DuckDB to its own table": duckdb_own,
    "DuckDB, event_id unique": duckdb_unique,
    "chdb to MergeTree": chdb_mergetree,
    "chdb to Parquet": chdb_parquet,
}


def cut(path, lines, folder):
    """A file of the first lines."""
    short = folder / "short.ndjson"
    with path.open("rb") as source, short.open("wb") as target:
        for _ in range(lines):
            target.write(source.readline())
    return short


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="lines of events")
    parser.add_argument("folder", type=Path, help="where peers write")
    parser.add_argument("--lines", type=int, help="only so many lines")
    parser.add_argument("--one", choices=PEERS, help="run this peer in this process")
    arguments = parser.parse_args()
    if arguments.one:
        # What a process pays once is no part of loading.
        importlib.import_module(arguments.one.split()[0].strip(",").lower())
        wall, processor = time.perf_counter(), time.process_time()
        rows = PEERS[arguments.one](arguments)
        print(json.dumps({"wall": time.perf_counter() - wall, "processor": time.process_time() - processor, "rows": rows}))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    source = cut(arguments.path, arguments.lines, arguments.folder) if arguments.lines else arguments.path
    answer = {}
    for name in PEERS:
        place = arguments.folder / "peer"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        command = [sys.executable, __file__, str(source.absolute()), str(place.absolute()), "--one", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{name} failed")
        answer[name] = json.loads(done.stdout.splitlines()[-1])
        shutil.rmtree(place)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
