"""Reads out one large experiment: its data, and the time that takes beside DuckDB's for the same sums on the same files.

usage: lake_readout.py make FOLDER [--units N] [--quarters]
       lake_readout.py attach FOLDER --data DIR --sendlab PROGRAM
       lake_readout.py ask --data DIR --sendlab PROGRAM [--runs N] [--json FILE]

`make` writes FOLDER/tables: an experiment of 10,000,000 recipients, four variants and twenty markets, with 50 million events in all
seven tables; sent over three days at full hours, or at full quarters of an hour with --quarters, with opens, clicks, orders and refunds in
the days after, some of them outside of the window. Equal arguments and an equal DuckDB give equal rows.

`attach` brings them into the lake of DIR as landings would have left them (lake_data.py), and waits until the server, which PROGRAM
starts, has written the closed days anew in the order of its layout.

`ask` starts PROGRAM on DIR and tells how long the readout takes, the whole request of HTTP:

  cold     without any kept sums: their folder is deleted and the server is started anew before each run
  started  with the sums that another server wrote down
  warm     again, and for each market and each age
  new      after 1, 10, 100 and 1,000 new events of as many recipients, landing included; they stay in DIR

Cold runs and DuckDB take turns, two threads each, every time from a fresh server and a fresh connection; the medians of the runs count. The
files were read just before, so that neither waits for the disk. DuckDB is asked two questions. `cells` is ours: sums and
squares of twelve metrics, and the funnel, by variant, market, the quarter of an hour in which recipients begin, and the age at which
something happened, as crates/experiment/src/cells.rs keeps them. `plain` is the easier one of somebody who wants this readout only: sums and
squares by variant and market. What is promised of cold is promised beside `cells`. The readout's recipients, funnels, means and standard
errors must be those of DuckDB, in whole, by market and by age, and again after the new events; nothing fails on time.
"""

import argparse
import datetime
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import duckdb

import lake_data
from lake_client import TABLES, Server, live_files, settled_files

EXPERIMENT = "readout"
VARIANTS = ["control", "A", "B", "C"]
DAYS_SENT, DAYS_KEPT = 3, 12
FIRST_DAY = lake_data.FIRST_DAY
WINDOW_HOURS = 168
HOUR = 3_600_000_000
# Where the steps of age end, in hours: crates/experiment/src/cells.rs.
AGES = [1, 2, 4, 8, 12, 24, 48, 72, 96, 120, 144, 168]
# Name, outcome, measure, whether only humans count, and the column of a unit's tally it is made of.
METRICS = [
    ("opened", "open", "occurred", True, "human_opens"),
    ("opened_by_all", "open", "occurred", False, "opens"),
    ("opens", "open", "count", True, "human_opens"),
    ("opens_of_all", "open", "count", False, "opens"),
    ("clicked", "click", "occurred", True, "human_clicks"),
    ("clicked_by_all", "click", "occurred", False, "clicks"),
    ("clicks", "click", "count", True, "human_clicks"),
    ("ordered", "order", "occurred", True, "orders"),
    ("order_count", "order", "count", True, "orders"),
    ("revenue", "order", "amount", True, "amount"),
    ("unsubscribed", "unsubscribe", "occurred", True, "unsubscribes"),
    ("complained", "complaint", "occurred", True, "complaints"),
]
PRIMARY = "revenue"
MINOR_PER_MAJOR = 100
PAIRS = [(at, at) for at in range(len(METRICS))]
# What is counted of each unit.
TALLY = ["opens", "human_opens", "clicks", "human_clicks", "orders", "unconverted", "unsubscribes", "complaints", "amount"]
FUNNEL = {"opened": "human_opens", "clicked": "human_clicks", "ordered": "orders"}
NEW_EVENTS = [1, 10, 100, 1000]
COLD_RATIO_MAX, WARM_SECONDS_MAX, WARM_RUNS = 1.0, 0.05, 50
RELATIVE_ERROR_MAX = 1e-9


# ---- the data


def connect():
    connection = lake_data.connect()
    connection.execute("SET memory_limit = '4GB'; SET preserve_insertion_order = false")
    return connection


def narrow(units, quarters):
    """What happened, by table: SQL for the number of the unit, the number of the event (sixteen a unit at most), when, and what."""
    step = 4 if quarters else 1
    planned = f"TIMESTAMP '{FIRST_DAY}' + to_days((i * {DAYS_SENT} // {units})::INT) + hours(floor({24 * step} * u(i, 3)) / {step})"
    waited = lambda hours, of, purpose: f"hours(-{hours} * ln(1 - u({of}, {purpose})))"
    many = lambda mean, purpose, most: f"1 + least(floor(-{mean} * ln(1 - u(i, {purpose}))), {most})::BIGINT"
    units_of = f"""WITH given AS (
          SELECT i, floor(4 * u(i, 1))::INT AS arm, {planned} AS planned FROM range({units}) t(i)
        ), written AS (
          SELECT *, planned + hours(0.75 * u(i, 4)) AS sent FROM given WHERE u(i, 5) >= 0.005
        ), heard AS (
          SELECT *, sent + hours(0.05 * u(i, 6)) AS delivered, CASE WHEN u(i, 7) < 0.015 THEN 'bounced'
            WHEN u(i, 7) < 0.025 THEN 'deferred' WHEN u(i, 7) < 0.035 THEN 'accepted' ELSE 'delivered' END AS status
          FROM written
        ), reached AS (
          SELECT *, delivered + {waited(8, 'i', 8)} AS looked, u(i, 9) < 0.42 + 0.02 * arm AS opened, u(i, 11) < 0.38 + 0.02 * arm AS clicked
          FROM heard WHERE status <> 'bounced'
        )"""
    several = lambda start, count, where: (
        f"SELECT *, i * 16 + {start} + n AS k FROM (SELECT *, unnest(range({count})) AS n FROM reached WHERE {where})"
    )
    led = several(0, many(0.6, 16, 5), "opened AND clicked AND u(i, 15) < 0.40")
    orders = f"""SELECT i, k, looked + hours(0.1) + {waited(20, 'k', 42)} AS moment, true AS led FROM ({led})
        UNION ALL SELECT i, i * 16 + 15, planned + hours(240 * u(i, 18) - 24), false FROM given WHERE u(i, 17) < 0.06"""
    priced = "least(cents(k, 43, 44), 5000000) AS amount, u(k, 45) < 0.01 AS unpriced"
    return {
        "assignments": f"""{units_of} SELECT i, i * 16 AS k, planned, arm,
            greatest(planned - hours(0.02 + 0.4 * u(i, 2)), planned::DATE::TIMESTAMP) AS moment FROM given
            UNION ALL SELECT i, i * 16 + 1, planned + to_days(1), floor(4 * u(i, 26))::INT, planned + hours(6 + 12 * u(i, 27))
            FROM given WHERE u(i, 25) < 0.005""",
        "messages": f"{units_of} SELECT i, i * 16 AS k, sent AS moment FROM written",
        "deliveries": f"{units_of} SELECT i, i * 16 AS k, delivered AS moment, status FROM heard",
        "opens": f"""{units_of} SELECT i, k, delivered + hours(0.2 * u(k, 46)) AS moment, true AS machine
            FROM ({several(0, 'CASE WHEN u(i, 10) < 0.1 THEN 2 ELSE 1 END', 'u(i, 10) < 0.5')})
            UNION ALL SELECT i, k, looked + CASE WHEN n = 0 THEN hours(0) ELSE {waited(30, 'k', 47)} END, false
            FROM ({several(4, many(1.25, 13, 9), 'opened')})""",
        "clicks": f"""{units_of} SELECT i, k, delivered + hours(0.01 * u(k, 48)) AS moment, true AS machine
            FROM ({several(8, '2', 'u(i, 14) < 0.06')})
            UNION ALL SELECT i, k, looked + hours(0.02) + CASE WHEN n = 0 THEN hours(0) ELSE {waited(24, 'k', 49)} END, false
            FROM ({several(0, many(1.0, 12, 7), "opened AND clicked")})""",
        "orders": f"""{units_of}, placed AS (SELECT *, {priced} FROM ({orders}))
            SELECT i, k, moment, led, amount, unpriced, NULL::BIGINT AS origin FROM placed
            UNION ALL SELECT i, k + {1 << 40}, moment + {waited(72, 'k', 50)}, led,
              -(amount * (CASE WHEN u(k, 51) < 0.7 THEN 1.0 ELSE 0.5 END))::BIGINT, unpriced, k FROM placed WHERE u(k, 52) < 0.1""",
        "feedback": f"""{units_of} SELECT i, i * 16 AS k, looked + {waited(12, 'i', 19)} AS moment, CASE WHEN u(i, 20) < 0.012 THEN 'unsubscribe'
            WHEN u(i, 20) < 0.0135 THEN 'complaint' WHEN u(i, 20) < 0.023 THEN 'reply' ELSE 'survey' END AS feedback
            FROM reached WHERE u(i, 20) < 0.05""",
    }


def wide(table):
    """The columns of the lake's table, of the rows of `narrow`."""
    # A few outcomes do not say what they belong to; orders do where a click led to them.
    named = {"orders": "led", "opens": "u(k, 53) >= 0.01", "clicks": "u(k, 53) >= 0.01"}.get(table, "true")
    told = lambda value: f"CASE WHEN {named} THEN {value} END"
    arm = "arm" if table == "assignments" else "floor(4 * u(i, 1))::INT"
    values = {
        "event_id": f"hex16(bits(k, {54 + TABLES.index(table)})) || hex16(k)", "event_time": "timezone('UTC', moment)",
        "received_at": "timezone('UTC', moment + hours(1 / 3600))", "contact_key": "(bits(i, 21) >> 1)::BIGINT",
        "message_id": "NULL::VARCHAR" if table == "assignments" else told("hex16(bits(i, 22)) || hex16(bits(i, 23))"),
        "campaign_id": told("'readout-' || (i % 3)"), "experiment_id": told(f"'{EXPERIMENT}'"),
        "variant": told(f"pick({VARIANTS}, ({arm} + 0.5) / 4)"), "channel": told("'email'"),
        "market": f"pick({lake_data.MARKETS}, pow(u(i, 24), 2))", "provider": "NULL::VARCHAR",
        "recommendation_id": "NULL::VARCHAR", "time_doubt": "NULL::VARCHAR",
    }
    own = {
        "assignments": {"planned_at": "timezone('UTC', planned)", "propensity": "0.25::DOUBLE"},
        "messages": {"class": "'marketing'", "cost_minor": "NULL::BIGINT", "currency": "NULL::VARCHAR", "cost_base_minor": "NULL::BIGINT"},
        "deliveries": {"status": "status", "reply": "NULL::VARCHAR"},
        "opens": {"machine": "machine", "user_agent": "NULL::VARCHAR"},
        "clicks": {"url": "'https://shop.example/' || (k % 7)", "machine": "machine", "user_agent": "NULL::VARCHAR", "position": "1 + k % 7"},
        "orders": {
            "order_id": "'order-' || k", "amount_minor": "amount", "currency": "CASE WHEN unpriced THEN 'NGN' ELSE 'USD' END",
            "amount_base_minor": "CASE WHEN NOT unpriced THEN amount END", "refund_of": "'order-' || origin",
        },
        "feedback": {"feedback": "feedback", "text": "NULL::VARCHAR"},
    }
    return ", ".join(f"{value} AS {column}" for column, value in (values | own[table]).items())


def make(arguments):
    begin, counts = time.monotonic(), {}
    shutil.rmtree(arguments.folder / "tables", ignore_errors=True)
    for table, query in narrow(arguments.units, arguments.quarters).items():
        connection = connect()
        first, end = f"TIMESTAMP '{FIRST_DAY}'", f"TIMESTAMP '{FIRST_DAY}' + to_days({DAYS_KEPT})"
        connection.execute(f"CREATE TABLE told AS SELECT *, moment::DATE AS day FROM ({query}) WHERE moment >= {first} AND moment < {end}")
        days = connection.execute("SELECT day, count(*) FROM told GROUP BY day ORDER BY day").fetchall()
        for day, _ in days:
            place = arguments.folder / "tables" / table / f"event_date={day}"
            place.mkdir(parents=True)
            rows = f"SELECT {wide(table)} FROM told WHERE day = DATE '{day}'"
            connection.execute(f"COPY ({rows}) TO '{place}/arrival.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
        counts[table] = sum(rows for _, rows in days)
        print(f"  {counts[table]:,} {table} of {len(days)} days after {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{sum(counts.values()):,} events in {time.monotonic() - begin:.0f} s")


def attach(arguments):
    lake_data.attach(argparse.Namespace(**vars(arguments), landed=True, hours_ago=2))
    server, begin = Server(arguments.data, arguments.sendlab), time.monotonic()
    try:
        while True:
            files = [path for paths in live_files(arguments.data).values() for path in paths]
            landed = sum(lake_data.LANDED in path for path in files)
            print(f"  {landed} of {len(files)} files are not in the layout yet after {time.monotonic() - begin:.0f} s", flush=True)
            if not landed:
                break
            time.sleep(15)
        settled_files(arguments.data, 15)
    finally:
        server.stop()


# ---- DuckDB's answers
#
# As somebody writes them who knows DuckDB: times are whole numbers, because arithmetic on times with a zone asks the calendar row by row;
# units carry the number of their group instead of its names, none of which is missing in these data; and messages and deliveries, of
# which only the first counts, are not added up with the outcomes.

OURS = f"(experiment_id = '{EXPERIMENT}' OR experiment_id IS NULL)"
WITHIN = f"moment >= begins AND moment < begins + {WINDOW_HOURS * HOUR}"
AGE = f"""(CASE {' '.join(f'WHEN moment - begins < {hours * HOUR} THEN {age}' for age, hours in enumerate(AGES[:6]))}
        ELSE 5 + (moment - begins) // {24 * HOUR} END)::TINYINT"""
# Of whom the funnel counts how many there are, beside those in a tally.
HANDED = {"sent": ("messages", OURS), "accepted": ("deliveries", f"{OURS} AND status IN ('accepted', 'delivered')")}


def units(group):
    """Who counts from when, and in which group."""
    return f"""given AS (
      SELECT contact_key, arg_min(variant, event_time) AS variant, arg_min(market, event_time) AS market,
        epoch_us(arg_min(coalesce(planned_at, event_time), event_time)) AS begins, -(-begins // 900000000) AS cohort,
        coalesce(min(variant) <> max(variant), false) AS crossed
      FROM assignments WHERE experiment_id = '{EXPERIMENT}' GROUP BY contact_key
    ), heads AS MATERIALIZED (
      SELECT *, (row_number() OVER ())::INT AS cell
      FROM (SELECT {group}, count(*) AS units, count(*) FILTER (crossed) AS crossed FROM given GROUP BY {group})
    ), units AS MATERIALIZED (SELECT contact_key, begins, cell FROM given JOIN heads USING ({group}))"""


def outcomes():
    """What a tally is made of, a row each."""
    human = {"opens": "human_opens", "clicks": "human_clicks"}
    parts = [(table, {table: "1", human[table]: "NOT machine"}, OURS) for table in human]
    paid = {"orders": "refund_of IS NULL", "unconverted": "amount_base_minor IS NULL", "amount": "coalesce(amount_base_minor, 0)"}
    parts.append(("orders", paid, "true"))
    spoken = {"unsubscribes": "feedback = 'unsubscribe'", "complaints": "feedback = 'complaint'"}
    parts.append(("feedback", spoken, f"{OURS} AND ({' OR '.join(spoken.values())})"))
    columns = lambda own: ", ".join(f"({own.get(name, '0')})::BIGINT AS {name}" for name in TALLY)
    return "outcomes AS (" + " UNION ALL ".join(
        f"SELECT contact_key, epoch_us(event_time) AS moment, {columns(own)} FROM {table} WHERE {where}" for table, own, where in parts
    ) + ")"


def moments(step):
    table, where = HANDED[step]
    return f"SELECT contact_key, epoch_us(event_time) AS moment FROM {table} WHERE {where}"


def value(metric, prefix=""):
    _, _, measure, _, column = metric
    return f"({prefix}{column} > 0)::BIGINT" if measure == "occurred" else f"{prefix}{column}"


def plain_query():
    """Sums and squares by variant and market, of all units."""
    handed = lambda step: f"""(SELECT cell, count(*) AS f_{step} FROM (
        SELECT DISTINCT contact_key, cell FROM ({moments(step)}) JOIN units USING (contact_key) WHERE {WITHIN}) GROUP BY cell)"""
    sums = [f"sum(m{at})::HUGEINT AS s{at}, sum(m{at} * m{at})::HUGEINT AS p{at}_{at}" for at in range(len(METRICS))]
    steps = [f"count(*) FILTER ({column} > 0) AS f_{step}" for step, column in FUNNEL.items()]
    return f"""WITH {units('variant, market')}, {outcomes()}, tallies AS (
      SELECT contact_key, any_value(cell) AS cell, {', '.join(f'sum({name})::BIGINT AS {name}' for name in TALLY)}
      FROM outcomes JOIN units USING (contact_key) WHERE {WITHIN} GROUP BY contact_key
    ), valued AS (SELECT *, {', '.join(f'{value(metric)} AS m{at}' for at, metric in enumerate(METRICS))} FROM tallies
    ), summed AS (SELECT cell, sum(unconverted) AS unconverted, {', '.join(steps + sums)} FROM valued GROUP BY cell)
    SELECT * EXCLUDE (cell) FROM heads LEFT JOIN summed USING (cell)
      LEFT JOIN {handed('sent')} USING (cell) LEFT JOIN {handed('accepted')} USING (cell)"""


def cells_query():
    """The sums by variant, market, cohort and age: by how much they rose or fell within each step of age."""
    handed = lambda step: f"""SELECT cell, age, count(*) AS f_{step} FROM (
        SELECT any_value(cell) AS cell, min({AGE}) AS age FROM ({moments(step)}) JOIN units USING (contact_key)
        WHERE {WITHIN} GROUP BY contact_key) GROUP BY cell, age"""
    running = [name for name in TALLY if name != "unconverted"]
    values = [f"{value(metric)} AS a{at}, {value(metric, 'before_')} AS b{at}" for at, metric in enumerate(METRICS)]
    reached = [f"({column} > 0)::INT - (before_{column} > 0)::INT AS f_{step}" for step, column in FUNNEL.items()]
    sums = [f"sum(a{at} - b{at})::HUGEINT AS s{at}" for at in range(len(METRICS))]
    sums += [f"sum(a{i} * a{j} - b{i} * b{j})::HUGEINT AS p{i}_{j}" for i, j in PAIRS]
    return f"""WITH {units('variant, market, cohort')}, {outcomes()}, tallies AS (
      SELECT contact_key, any_value(cell) AS cell, {AGE} AS age, {', '.join(f'sum({name})::BIGINT AS {name}' for name in TALLY)}
      FROM outcomes JOIN units USING (contact_key) WHERE {WITHIN} GROUP BY contact_key, age
    ), steps AS (
      SELECT cell, age, unconverted, {', '.join(f'{name} AS own_{name}, (sum({name}) OVER so_far)::BIGINT AS {name}' for name in running)}
      FROM tallies WINDOW so_far AS (PARTITION BY contact_key ORDER BY age)
    ), both_ends AS (SELECT *, {', '.join(f'{name} - own_{name} AS before_{name}' for name in running)} FROM steps
    ), valued AS (SELECT cell, age, unconverted, {', '.join(values + reached)} FROM both_ends
    ), summed AS (
      SELECT cell, age, sum(unconverted) AS unconverted, {', '.join(f'sum(f_{step}) AS f_{step}' for step in FUNNEL)}, {', '.join(sums)}
      FROM valued GROUP BY cell, age
    ), every AS (FROM summed UNION ALL BY NAME {handed('sent')} UNION ALL BY NAME {handed('accepted')})
    SELECT variant, market, cohort, age, every.* EXCLUDE (cell, age) FROM every JOIN heads USING (cell)
    UNION ALL BY NAME SELECT variant, market, cohort, 0 AS age, units, crossed FROM heads"""


class DuckDB:
    """A fresh DuckDB over the live files."""

    def __init__(self, files, memory, folder):
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 2; SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false")
        self.connection.execute(f"SET temp_directory = '{folder}'" + (f"; SET memory_limit = '{memory}'" if memory else ""))
        for table in TABLES:
            hive = "hive_partitioning = true, hive_types = {'event_date': DATE}"
            self.connection.execute(f"CREATE VIEW {table} AS FROM read_parquet({files[table]}, union_by_name = true, {hive})")

    def keep(self, name, query):
        begin = time.perf_counter()
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
        return time.perf_counter() - begin

    def sums(self, name, where="true"):
        """By variant: each column added up over the rows that are asked for."""
        columns = ["units", "unconverted"] + [f"f_{step}" for step in [*HANDED, *FUNNEL]]
        columns += [f"s{at}" for at in range(len(METRICS))] + [f"p{at}_{at}" for at in range(len(METRICS))]
        added_up = ", ".join(f"coalesce(sum({column}), 0)::HUGEINT" for column in columns)
        rows = self.rows(f"SELECT variant, {added_up} FROM {name} WHERE {where} GROUP BY variant")
        return {variant: dict(zip(columns, sums)) for variant, *sums in rows}

    def rows(self, query):
        return self.connection.execute(query).fetchall()


# ---- the server's answers


def document():
    metric = lambda name, outcome, measure, human_only, _: {
        "name": name, "outcome": outcome, "measure": measure, "human_only": human_only, "lower_is_better": outcome in ("unsubscribe", "complaint"),
    }
    return {
        "experiment": EXPERIMENT, "factors": ["copy"], "variants": [{"name": name} for name in VARIANTS], "primary": PRIMARY,
        "metrics": [metric(*known) for known in METRICS], "window_hours": WINDOW_HOURS,
    }


def started(data, program):
    """A server that does nothing else when it is asked."""
    server = Server(data, program)
    settled_files(data, 3)
    server.rows("SELECT 1 AS one")
    return server


def get_readout(server, **cut):
    """Seconds until the last byte, and what it says."""
    path = f"/v1/experiments/{EXPERIMENT}/readout" + (f"?{urllib.parse.urlencode(cut)}" if cut else "")
    begin = time.perf_counter()
    status, _, body = server.request("GET", path)
    seconds = time.perf_counter() - begin
    if status != 200:
        raise SystemExit(f"{status} to GET {path} after {seconds:.1f} s: {body[:2000].decode()}")
    return seconds, json.loads(body)


def put_experiment(server):
    status, _, body = server.request("PUT", "/v1/experiments", json.dumps(document()).encode())
    if status not in (200, 201):
        raise SystemExit(f"{status} to PUT /v1/experiments: {body[:2000].decode()}")


def post_events(server, recipients, token):
    """An open or an order of each recipient, as they come in within one hour: all windows are open a day after the last message."""
    lines, day = [], datetime.date.fromisoformat(FIRST_DAY) + datetime.timedelta(days=DAYS_SENT + 1)
    for at, (contact, variant, market) in enumerate(recipients):
        moment = f"{day}T12:{at // 60 % 60:02}:{at % 60:02}Z"
        order = {"kind": "order", "order_id": f"{token}-{at}", "amount": f"{5 + at % 90}.{at % 100:02}", "currency": "USD"}
        own = {"kind": "open"} if at % 2 else order
        common = {"event_id": f"{token}-{at}", "event_time": moment, "contact_key": str(contact), "experiment_id": EXPERIMENT}
        lines.append(json.dumps(common | own | {"variant": variant, "market": market, "channel": "email"}))
    status, _, body = server.post("/v1/events", "\n".join(lines).encode(), "application/x-ndjson")
    told = json.loads(body)
    if status != 200 or told["accepted"] != len(lines):
        raise SystemExit(f"{status} to POST /v1/events: {body[:2000].decode()}")


# ---- whether they agree


def differences(readout, sums):
    """Where a readout says something else than DuckDB's sums; of twelve metrics all means and standard errors."""
    found = []

    def check(what, ours, theirs):
        if not (ours == theirs or math.isclose(ours, theirs, rel_tol=RELATIVE_ERROR_MAX)):
            found.append(f"{what} is {ours}, not {theirs}")

    arms = {arm["variant"]: arm for arm in readout["arms"]}
    variances = {}
    for variant in VARIANTS:
        own, arm = sums[variant], arms[variant]
        check(f"assigned of {variant}", arm["assigned"], own["units"])
        check(f"mature of {variant}", arm["mature"], own["units"])
        for step in [*HANDED, *FUNNEL]:
            check(f"{step} of {variant}", arm["funnel"][step], own[f"f_{step}"])
        for at, (name, _, measure, *_) in enumerate(METRICS):
            unit, n = MINOR_PER_MAJOR if measure == "amount" else 1, own["units"]
            check(f"mean of {name} of {variant}", arm["means"][name], own[f"s{at}"] / n / unit)
            variances[variant, name] = (own[f"p{at}_{at}"] * n - own[f"s{at}"] ** 2) / n / (n - 1) / unit**2 / n
    for estimate in readout["estimates"]:
        effect = estimate["absolute"].get("computed")
        if effect:
            variance = sum(variances[estimate[side], estimate["metric"]] for side in ("variant", "baseline"))
            check(f"standard error of {estimate['metric']} of {estimate['variant']}", effect["standard_error"], math.sqrt(variance))
    return found


# ---- the measuring


def warm_cache(files):
    """Reads the files, so that nobody waits for the disk."""
    size = 0
    for path in (path for paths in files.values() for path in paths):
        with open(path.removeprefix("file://"), "rb") as file:
            while chunk := file.read(1 << 24):
                size += len(chunk)
    return size


def cold(arguments, found, folder):
    """Server and DuckDB in turn."""
    sums_folder, seconds = arguments.data / "lake" / "sums", {"cold": [], "cells": [], "plain": [], "start": []}
    for run in range(arguments.runs):
        shutil.rmtree(sums_folder, ignore_errors=True)
        begin = time.perf_counter()
        server = started(arguments.data, arguments.sendlab)
        seconds["start"].append(time.perf_counter() - begin)
        try:
            put_experiment(server)
            files = settled_files(arguments.data, 0)
            if run == 0:
                found["bytes"] = warm_cache(files)
            server.forget_peak()
            took, readout = get_readout(server)
            seconds["cold"].append(took)
            found["peak_bytes"] = server.memory("VmHWM")
        finally:
            server.stop()
        print(f"  run {run + 1}: readout {took:.2f} s", end="", flush=True)
        theirs = DuckDB(files, arguments.duckdb_memory, folder)
        for name, query in [("cells", cells_query()), ("plain", plain_query())]:
            seconds[name].append(theirs.keep(name, query))
            print(f", DuckDB {name} {seconds[name][-1]:.2f} s", end="", flush=True)
        print(flush=True)
    found["seconds"] = seconds
    found["cells"] = theirs.rows("SELECT count(*) FROM (SELECT DISTINCT variant, market, cohort, age FROM cells)")[0][0]
    found["sums_bytes"] = sum(path.stat().st_size for path in sums_folder.glob("*")) if sums_folder.is_dir() else 0
    return theirs, files, readout


def compare(found, where, readout, sums):
    found["differ"] += [f"{where}: {difference}" for difference in differences(readout, sums)]


def warm(server, theirs, found):
    """The same again, and every cut of it."""
    seconds = found["seconds"]
    seconds["started"] = [get_readout(server)[0]]
    seconds["warm"] = [get_readout(server)[0] for _ in range(WARM_RUNS)]
    seconds["market"], seconds["age"] = [], []
    for (market,) in theirs.rows("SELECT DISTINCT market FROM cells ORDER BY market"):
        took, readout = get_readout(server, market=market)
        seconds["market"].append(took)
        compare(found, f"market {market}", readout, theirs.sums("cells", f"market = '{market}'"))
    for age, hours in enumerate(AGES):
        took, readout = get_readout(server, age_hours=hours)
        seconds["age"].append(took)
        compare(found, f"{hours} hours", readout, theirs.sums("cells", f"age <= {age}"))


def after_new_events(arguments, server, theirs, found, folder):
    """Readouts that have something new to count, and in the end whether it was counted."""
    token = f"new-{time.time_ns():x}"
    step, most = found["recipients"] // max(NEW_EVENTS) or 1, max(NEW_EVENTS)
    recipients = theirs.rows(f"""WITH {units('variant, market')} SELECT contact_key, variant, market FROM given
        WHERE hash(contact_key) % {max(step // 2, 1)} = 0 ORDER BY contact_key LIMIT {most}""")
    found["seconds"]["new"] = {}
    for count in NEW_EVENTS:
        taken = []
        for run in range(arguments.runs):
            post_events(server, recipients[:count], f"{token}-{count}-{run}")
            taken.append(get_readout(server)[0])
        found["seconds"]["new"][count] = taken
        print(f"  after {count:,} new events: {', '.join(f'{took * 1000:.0f}' for took in taken)} ms", flush=True)
    readout = get_readout(server)[1]
    fresh = DuckDB(settled_files(arguments.data, 0), arguments.duckdb_memory, folder)
    fresh.keep("plain", plain_query())
    compare(found, "after new events", readout, fresh.sums("plain"))


def verdict(holds):
    return "holds" if holds else "BROKEN"


def tell(found):
    medians = {name: statistics.median(times) for name, times in found["seconds"].items() if name != "new"}
    ratio = {name: medians["cold"] / medians[name] for name in ("cells", "plain")}
    found["medians"], found["ratios"] = medians, ratio
    line = lambda what, seconds, told="": print(f"  {what:44}{seconds * 1000:12.1f}  {told}")
    print(f"  {'medians':44}{'ms':>12}")
    line("cold readout", medians["cold"])
    told = f"ratio {ratio['cells']:.2f}, promised <= {COLD_RATIO_MAX}: {verdict(ratio['cells'] <= COLD_RATIO_MAX)}"
    line("DuckDB, the same cells", medians["cells"], told)
    line("DuckDB, plain sums by variant and market", medians["plain"], f"ratio {ratio['plain']:.2f}")
    line("started, with the kept sums on disk", medians["started"])
    for name, what in [("warm", "warm readout"), ("market", "of one market"), ("age", "at one age")]:
        if name in medians:
            most = max(found["seconds"][name]) * 1000
            told = f"at most {most:.1f}, promised <= {WARM_SECONDS_MAX * 1000:.0f}: {verdict(medians[name] <= WARM_SECONDS_MAX)}"
            line(f"{what}, of {len(found['seconds'][name])}", medians[name], told)
    for count, taken in found["seconds"].get("new", {}).items():
        line(f"after {count:,} new events", statistics.median(taken), f"{medians['cold'] / statistics.median(taken):.0f} times less than cold")
    if found["peak_bytes"]:
        print(f"  the cold readout peaked at {found['peak_bytes'] / 2**30:.2f} GiB of the server's memory; its {found['cells']:,} cells take "
              f"{found['sums_bytes'] / 2**20:.1f} MiB on disk")
    differ = found["differ"]
    print(f"  readouts and DuckDB: {'equal' if not differ else f'{len(differ)} DIFFERENCES'}")
    for difference in differ[:20]:
        print(f"    {difference}")


def ask(arguments):
    found = {"differ": []}
    with tempfile.TemporaryDirectory(dir=arguments.data.parent) as folder:
        print(f"lake readout: {arguments.runs} runs, two threads each, files in the page cache", flush=True)
        theirs, files, readout = cold(arguments, found, folder)
        counts = {name: theirs.rows(f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}
        found["events"], found["recipients"] = counts, sum(arm["assigned"] for arm in readout["arms"])
        print(f"  {sum(counts.values()):,} events ({', '.join(f'{n:,} {name}' for name, n in counts.items())}) in "
              f"{sum(map(len, files.values()))} files of {found['bytes'] / 2**30:.2f} GiB; {found['recipients']:,} recipients", flush=True)
        if any(arm["mature"] != arm["assigned"] for arm in readout["arms"]):
            sys.exit(f"not all windows are over: this bench is for the time from {DAYS_KEPT} days after {FIRST_DAY}")
        if theirs.sums("cells") != theirs.sums("plain"):
            sys.exit("DuckDB's two answers differ: the queries of this bench are wrong")
        compare(found, "in whole", readout, theirs.sums("cells"))
        server = started(arguments.data, arguments.sendlab)
        try:
            warm(server, theirs, found)
            if settled_files(arguments.data, 0) != files:
                print("  files were rewritten meanwhile: the engines did not all read the same ones")
            after_new_events(arguments, server, theirs, found, folder)
        finally:
            server.stop()
    tell(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    if found["differ"]:
        sys.exit("answers differ")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, work in [("make", make), ("attach", attach), ("ask", ask)]:
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        if name != "ask":
            command.add_argument("folder", type=Path)
        if name == "make":
            command.add_argument("--units", type=int, default=10_000_000)
            command.add_argument("--quarters", action="store_true", help="planned at any quarter of an hour: four times as many cohorts")
        else:
            command.add_argument("--data", type=Path, required=True, help="the data folder of the server")
            command.add_argument("--sendlab", required=True, help="the program to start a server with")
        if name == "ask":
            command.add_argument("--runs", type=int, default=3)
            command.add_argument("--duckdb-memory", help="such as 4GB; four fifths of what the machine has where absent")
            command.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
