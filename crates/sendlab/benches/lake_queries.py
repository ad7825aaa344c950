"""Asks the lake's questions of a running server, of DuckDB and of Polars on the same files, and of DuckDB on its own layout.

usage: lake_queries.py --data DIR [--sendlab PROGRAM] [--arrival DIR] [--runs N] [--json FILE]

DIR is a data folder whose lake holds the events of lake_data.py; its server runs, or PROGRAM starts one. Every engine has
two threads and a warm cache; engines take turns, and the median of the runs counts. Our time is that of the whole request,
up to the last byte of the answer in Arrow's format. Answers must be equal. Beside each ratio to DuckDB stands what is
promised; nothing fails on time.

--arrival names a second data folder with the same events in the order of arrival (`lake_data.py attach`), which PROGRAM
serves in turn; the one-experiment questions are asked there too, and it is said if the files were rewritten meanwhile.
"""

import argparse
import datetime
import io
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import duckdb  # noqa: E402
import polars as pl  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.ipc  # noqa: E402

from lake_client import Refused, Server, settled_files  # noqa: E402

KINDS = {"deliveries": "delivery", "opens": "open", "clicks": "click", "orders": "order"}
EXPERIMENT = "exp-17"
WINDOW = datetime.timedelta(days=7)
PARTITION_TYPES = "hive_partitioning = true, hive_types = {'event_date': DATE}"

FUNNEL = " UNION ALL ".join(
    f"SELECT variant, event_date, '{kind}' AS kind, count(*) AS n FROM {table} WHERE {{where}} GROUP BY variant, event_date"
    for table, kind in KINDS.items()
)
READOUT = """
WITH units AS (
  SELECT {groups}, contact_key, min(event_time) AS since FROM deliveries WHERE {where} GROUP BY {groups}, contact_key
), paid AS (
  SELECT {units}, units.contact_key, CAST(coalesce(sum(amount_base_minor), 0) AS BIGINT) AS y
  FROM units LEFT JOIN orders ON orders.contact_key = units.contact_key
    AND orders.event_time >= since AND orders.event_time < since + INTERVAL '7 days'
  GROUP BY {units}, units.contact_key
)
SELECT {groups}, count(*) AS n, CAST(sum(y) AS BIGINT) AS total, CAST(sum(y * y) AS BIGINT) AS squares FROM paid GROUP BY {groups}"""
HISTORY = " UNION ALL ".join(
    f"SELECT event_time, '{kind}' AS kind, event_id, experiment_id, variant, campaign_id, channel, "
    f"{'amount_minor' if table == 'orders' else 'CAST(NULL AS BIGINT)'} AS amount_minor FROM {table} WHERE contact_key = {{contact}}"
    for table, kind in KINDS.items()
)


def questions(contact):
    """Name, promised share of DuckDB's time, least share of the time in order of arrival, SQL, and the same in Polars."""
    one = f"experiment_id = '{EXPERIMENT}'"
    readout = lambda groups, where: READOUT.format(
        groups=", ".join(groups), units=", ".join(f"units.{group}" for group in groups), where=where
    )
    opened = "SELECT market, variant, count(DISTINCT contact_key) AS n FROM opens GROUP BY market, variant"
    campaigns = (
        "SELECT campaign_id, CAST(sum(amount_base_minor) AS BIGINT) AS total, count(*) AS n FROM orders WHERE campaign_id IS NOT NULL "
        "GROUP BY campaign_id ORDER BY total DESC, campaign_id LIMIT 20"
    )
    is_one, any_one = pl.col("experiment_id") == EXPERIMENT, pl.col("experiment_id").is_not_null()
    return [
        ("Q1e", "funnel of one experiment", 0.8, 2, FUNNEL.format(where=one), lambda t: polars_funnel(t, is_one)),
        ("Q2", "readout of one, 7-day join", 0.7, 2, readout(["variant"], one), lambda t: polars_readout(t, ["variant"], is_one)),
        ("Q3", "distinct openers by market", 0.7, None, opened, polars_openers),
        ("Q4", "history of one contact", 1.0, None, f"{HISTORY.format(contact=contact)} ORDER BY event_time, event_id",
         lambda t: polars_history(t, contact)),
        ("Q5", "top campaigns", 1.0, None, campaigns, polars_campaigns),
        ("Q1", "funnel by variant and day", 1.2, None, FUNNEL.format(where="experiment_id IS NOT NULL"),
         lambda t: polars_funnel(t, any_one)),
        ("Q2all", "readout of all 42", None, None, readout(["experiment_id", "variant"], "experiment_id IS NOT NULL"),
         lambda t: polars_readout(t, ["experiment_id", "variant"], any_one)),
    ]


def polars_funnel(tables, where):
    parts = [
        tables[name].filter(where).group_by("variant", "event_date").agg(pl.len().cast(pl.Int64).alias("n"))
        .select("variant", "event_date", pl.lit(kind).alias("kind"), "n")
        for name, kind in KINDS.items()
    ]
    return pl.concat(parts)


def polars_readout(tables, groups, where):
    units = tables["deliveries"].filter(where).group_by(*groups, "contact_key").agg(pl.col("event_time").min().alias("since"))
    joined = units.join(tables["orders"].select("contact_key", "event_time", "amount_base_minor"), on="contact_key", how="left")
    inside = (pl.col("event_time") >= pl.col("since")) & (pl.col("event_time") < pl.col("since") + WINDOW)
    y = pl.when(inside).then(pl.col("amount_base_minor")).otherwise(0).sum().alias("y")
    paid = joined.group_by(*groups, "contact_key").agg(y)
    n = pl.len().cast(pl.Int64).alias("n")
    return paid.group_by(groups).agg(n, pl.col("y").sum().alias("total"), (pl.col("y") * pl.col("y")).sum().alias("squares"))


def polars_openers(tables):
    return tables["opens"].group_by("market", "variant").agg(pl.col("contact_key").n_unique().cast(pl.Int64).alias("n"))


def polars_history(tables, contact):
    columns = ["event_id", "experiment_id", "variant", "campaign_id", "channel"]
    amount = lambda name: pl.col("amount_minor") if name == "orders" else pl.lit(None, pl.Int64).alias("amount_minor")
    parts = [
        tables[name].filter(pl.col("contact_key") == contact).select("event_time", pl.lit(kind).alias("kind"), *columns, amount(name))
        for name, kind in KINDS.items()
    ]
    return pl.concat(parts).sort("event_time", "event_id")


def polars_campaigns(tables):
    total = pl.col("amount_base_minor").sum().alias("total")
    found = tables["orders"].filter(pl.col("campaign_id").is_not_null()).group_by("campaign_id").agg(total, pl.len().cast(pl.Int64).alias("n"))
    return found.sort(["total", "campaign_id"], descending=[True, False]).head(20)


def in_duckdb(query):
    """The query as DuckDB likes it: its arithmetic on times with a zone asks the calendar, row by row."""
    return query.replace("orders.event_time < since + INTERVAL '7 days'", "epoch_us(orders.event_time) < epoch_us(since) + 604800000000")


def duckdb_on(path=":memory:"):
    connection = duckdb.connect(str(path))
    connection.execute("SET threads = 2; SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET parquet_metadata_cache = true")
    return connection


def duckdb_files(files):
    connection = duckdb_on()
    for table in KINDS:
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet({files[table]}, union_by_name = true, {PARTITION_TYPES})")
    return connection


def duckdb_own(files, path):
    """DuckDB's own storage, in the order that suits the questions about one experiment."""
    connection = duckdb_on(path)
    for table in KINDS:
        rows = f"FROM read_parquet({files[table]}, union_by_name = true, {PARTITION_TYPES})"
        connection.execute(f"CREATE TABLE {table} AS {rows} ORDER BY experiment_id, contact_key")
    connection.execute("CHECKPOINT")
    return connection


def polars_files(files):
    scan = lambda paths: pl.scan_parquet(paths, hive_partitioning=True, hive_schema={"event_date": pl.Date}, missing_columns="insert")
    return {table: scan(files[table]) for table in KINDS}


def plain(table):
    """An answer without the order of its rows and the type of its times."""
    value = lambda v: int(v.timestamp() * 1_000_000) if isinstance(v, datetime.datetime) else str(v) if isinstance(v, datetime.date) else v
    return sorted((tuple(value(v) for v in row.values()) for row in table.to_pylist()), key=repr)


def timed(work):
    begin = time.perf_counter()
    answer = work()
    return time.perf_counter() - begin, answer


def ours(server, query):
    return pa.ipc.open_stream(io.BytesIO(server.sql(query))).read_all()


def measure(server, files, runs, own_folder):
    """Every question in every engine, in turn; seconds, answers and our peak of memory."""
    by_files, by_own, lazily = duckdb_files(files), duckdb_own(files, own_folder / "own.duckdb"), polars_files(files)
    contact = by_files.execute("SELECT contact_key FROM clicks ORDER BY event_id LIMIT 1").fetchall()[0][0]
    found = {}
    for name, about, promise, arrival, query, in_polars in questions(contact):
        engines = {
            "ours": lambda: ours(server, query),
            "duckdb": lambda: by_files.sql(in_duckdb(query)).to_arrow_table(),
            "polars": lambda: in_polars(lazily).collect().to_arrow(),
            "own": lambda: by_own.sql(in_duckdb(query)).to_arrow_table(),
        }
        server.forget_peak()
        try:
            answers = {engine: plain(work()) for engine, work in engines.items()}
        except Refused as refusal:
            print(f"  {name:6}{about:28} REFUSED: {refusal}", flush=True)
            found[name] = {"about": about, "query": query, "differ": ["ours"], "arrival_promise": None}
            continue
        seconds = {engine: [] for engine in engines}
        for _ in range(runs):
            for engine, work in engines.items():
                seconds[engine].append(timed(work)[0])
        differ = [engine for engine, answer in answers.items() if answer != answers["duckdb"]]
        medians = {engine: statistics.median(times) for engine, times in seconds.items()}
        found[name] = {
            "about": about, "promise": promise, "arrival_promise": arrival, "query": query, "seconds": medians, "rows": len(answers["ours"]),
            "differ": differ, "peak_bytes": server.memory("VmHWM"),
        }
        print(row(name, found[name]), flush=True)
    peak = found["Q2all"].get("peak_bytes")
    if peak:
        print(f"  the readout of all peaked at {peak / 2**30:.2f} GiB of the server's memory; promised under 2 at 28 M rows: {verdict(peak < 2 << 30)}")
    return found


def verdict(holds):
    return "" if holds is None else "holds" if holds else "BROKEN"


def row(name, found):
    seconds, promise = found["seconds"], found["promise"]
    ratio = seconds["ours"] / seconds["duckdb"]
    told = f"<= {promise}" if promise else ""
    peak = f"{found['peak_bytes'] / 2**30:.2f}" if found["peak_bytes"] else "-"
    equal = "equal" if not found["differ"] else f"DIFFER: {', '.join(found['differ'])}"
    times = "".join(f"{seconds[engine] * 1000:11.1f}" for engine in ("ours", "duckdb", "polars", "own"))
    return (
        f"  {name:6}{found['about']:28}{times}{ratio:8.2f} {told:7}{verdict(ratio <= promise if promise else None):7}"
        f"{seconds['ours'] / seconds['own']:8.2f}{peak:>10}  {found['rows']:6} rows {equal}"
    )


def heading(server, files, runs):
    count = sum(map(len, files.values()))
    rows = {table: server.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in KINDS}
    nothing = statistics.median(timed(lambda: server.sql("SELECT 1"))[0] for _ in range(20))
    print(f"lake queries: {sum(rows.values()):,} events ({', '.join(f'{n:,} {name}' for name, n in rows.items())}) in {count} files")
    print(f"  a request for SELECT 1 takes {nothing * 1000:.1f} ms; medians of {runs} runs in ms, engines in turn, two threads each")
    head = "".join(f"{word:>11}" for word in ("ours", "DuckDB", "Polars", "DuckDB own"))
    print(f"  {'':6}{'question':28}{head}{'/DuckDB':>8} {'promised':14}{'/own':>8}{'peak GiB':>10}")


def in_arrival_order(program, data, runs, found):
    """The questions about one experiment on files that nobody sorted."""
    server = Server(data, program)
    try:
        before = settled_files(data, 0)
        print("  in the order of arrival, ms:")
        for name, question in found.items():
            if not question["arrival_promise"]:
                continue
            ours(server, question["query"])
            seconds = statistics.median(timed(lambda: ours(server, question["query"]))[0] for _ in range(runs))
            times = seconds / question["seconds"]["ours"]
            question["arrival_seconds"] = seconds
            holds = verdict(times >= question["arrival_promise"])
            print(f"  {name:6}{question['about']:28}{seconds * 1000:10.1f}, {times:.1f} times ours; promised >= {question['arrival_promise']}: {holds}")
        if settled_files(data, 0) != before:
            print("  the server rewrote these files meanwhile: the figures are of a mixture")
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--sendlab", help="the program to start a server with; else one runs already")
    parser.add_argument("--arrival", type=Path, help="a data folder with the same events in the order of arrival")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quiet", type=float, default=10, help="seconds without a rewritten file before the measuring begins")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if arguments.arrival and not arguments.sendlab:
        sys.exit("--arrival needs --sendlab, the program to serve it with")
    server = Server(arguments.data, arguments.sendlab)
    try:
        files = settled_files(arguments.data, arguments.quiet)
        with tempfile.TemporaryDirectory(dir=arguments.data.parent) as own_folder:
            heading(server, files, arguments.runs)
            found = measure(server, files, arguments.runs, Path(own_folder))
        if settled_files(arguments.data, 0) != files:
            print("  files were rewritten meanwhile: the engines did not all read the same ones")
    finally:
        server.stop()
    if arguments.arrival:
        in_arrival_order(arguments.sendlab, arguments.arrival, arguments.runs, found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    if any(question["differ"] for question in found.values()):
        sys.exit("answers differ")


if __name__ == "__main__":
    main()
