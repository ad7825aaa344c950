"""Asks whether others read the lake's tables as they are: `deltalake`, Polars and DuckDB must count and sum the same.

usage: lake_readers.py --data DIR [--sql]

Each table is read at one version by each reader: by `deltalake` with its own scan, by Polars through `scan_delta`, by DuckDB as
the Parquet files that the log names. They may be asked while the server takes events, for a version never changes. With --sql
the server that runs on DIR is asked too, which is only fair while no events arrive. Prints a JSON object by table, and ends with
1 where any two differ.
"""

import argparse
import json
import sys

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lake_client import Server, folders

# Whole numbers only, and small enough that sums stay exact in 64 bits.
PRIME = 1_000_003
MONEY = {"orders": ["amount_minor", "amount_base_minor"], "messages": ["cost_minor", "cost_base_minor"]}
TEXTS = ["event_id", "message_id", "campaign_id", "experiment_id", "variant", "channel", "market"]


def sums(table):
    """Names and SQL that DuckDB, DataFusion and the server understand alike."""
    asked = [("rows", "count(*)"), ("events", "count(DISTINCT event_id)"), ("contacts", f"sum(contact_key % {PRIME})")]
    asked += [("from", "min(event_date)"), ("to", "max(event_date)")]
    asked += [(column, f"sum({column})") for column in MONEY.get(table, [])]
    return asked + [(column, f"sum(length({column}))") for column in TEXTS]


def statement(table):
    columns = ", ".join(f'{sql} AS "{name}"' for name, sql in sums(table))
    return f"SELECT {columns} FROM {table}"


def by_polars(table, folder, version):
    text = lambda column: pl.col(column).str.len_chars().cast(pl.Int64).sum().alias(column)
    asked = [
        pl.len().alias("rows"), pl.col("event_id").n_unique().alias("events"), (pl.col("contact_key") % PRIME).sum().alias("contacts"),
        pl.col("event_date").min().alias("from"), pl.col("event_date").max().alias("to"),
        *[pl.col(column).sum().alias(column) for column in MONEY.get(table, [])], *map(text, TEXTS),
    ]
    return pl.scan_delta(str(folder), version=version).select(asked).collect(engine="streaming").row(0, named=True)


def by_deltalake(table, delta):
    found = QueryBuilder().register(table, delta).execute(statement(table)).read_all()
    return pa.table(found).to_pylist()[0]


def by_duckdb(table, delta):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    files = delta.file_uris()
    columns = f"read_parquet({files}, union_by_name = true, hive_partitioning = true, hive_types = {{'event_date': DATE}})"
    rows = connection.execute(f"WITH {table} AS (FROM {columns}) {statement(table)}")
    return dict(zip([column[0] for column in rows.description], rows.fetchone()))


def told(found):
    """Numbers and days as text. A sum of nothing is null in SQL and 0 in Polars."""
    return {name: None if value in (None, 0) else str(value) for name, value in found.items()}


def check(data, with_sql):
    server = Server(data) if with_sql else None
    answer, equal = {}, True
    for table, folder in folders(data).items():
        delta = DeltaTable(str(folder))
        if not delta.file_uris():
            answer[table] = {"version": delta.version(), "files": 0}
            continue
        found = {
            "deltalake": told(by_deltalake(table, delta)), "polars": told(by_polars(table, folder, delta.version())),
            "duckdb": told(by_duckdb(table, delta)),
        }
        if server:
            found["sendlab"] = told(server.rows(statement(table))[0])
        first = found["duckdb"]
        differ = {
            name: parts
            for name, other in found.items()
            if (parts := {column: [value, first[column]] for column, value in other.items() if value != first[column]})
        }
        answer[table] = {"version": delta.version(), "files": len(delta.file_uris()), **first, **({"differ": differ} if differ else {})}
        equal = equal and not differ
    return answer, equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the data folder")
    parser.add_argument("--sql", action="store_true", help="ask the running server too")
    arguments = parser.parse_args()
    answer, equal = check(arguments.data, arguments.sql)
    print(json.dumps(answer, indent=1))
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
