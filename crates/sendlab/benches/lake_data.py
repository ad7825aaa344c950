"""Makes the events that the lake's benches ask about, and brings them into a lake.

usage: lake_data.py make FOLDER [--deliveries N] [--assignments] [--ndjson]
       lake_data.py feed FOLDER --data DIR [--sendlab PROGRAM] [--connections N]
       lake_data.py attach FOLDER --data DIR [--landed] [--hours-ago N] [--sendlab PROGRAM]

`make` writes messages of 30 days and what followed them in 35: 42 experiments of three variants, 14 at a time, in five
channels to two million contacts. 20,000,000 deliveries give 28.28 million events, 70,720,000 give 100 million. Equal
arguments and an equal DuckDB give equal bytes. In FOLDER stand, each in the order of arrival:

  tables/TABLE/event_date=DAY/arrival.parquet   the lake's own columns, row groups of 122,880 rows
  parquet/DAY.parquet                           all kinds in one file, in the columns of a line: for the importer
  ndjson/DAY.ndjson                             the same as lines for POST /v1/events, with --ndjson

`feed` sends the lines to the server that runs on DIR, or that PROGRAM starts there, and says how fast that went. `attach` adds
the Parquet files to the tables of DIR as they are, one commit a table, while no server runs there: a lake in the order of
arrival without ingest, and without the memory of which events it knows. PROGRAM makes the tables first where there are none.
With --landed they are sorted and called as a landing sorts and calls them: a server that runs on DIR an hour later writes them anew
as it writes every closed day, and at once where --hours-ago says that they came in two hours ago.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from lake_client import Server, folders

CONTACTS = 2_000_000
EXPERIMENTS_AT_ONCE, VARIANTS = 14, ["control", "A", "B"]
DAYS, DAYS_PER_ROUND, DAYS_KEPT = 30, 10, 35
FIRST_DAY = "2026-10-01"
CHANNELS = ["email", "sms", "whatsapp", "push", "wechat"]
MARKETS = "CN US DE FR GB JP BR RU ES IT KR MX CA AU PL SA AE ID TH NG".split()
ROW_GROUP_ROWS = 122_880
# A request of about a thousand lines; the server takes 10,000 at most.
REQUEST_BYTES = 256 * 1024
# A landing's file: the name of its log, its first and its last segment.
LANDED = "log-arrival-000000000000-000000000000.parquet"

COMMON = [
    "event_id", "event_time", "received_at", "contact_key", "message_id", "campaign_id", "experiment_id", "variant",
    "channel", "market", "provider", "recommendation_id",
]
OWN = {
    "assignments": ["planned_at", "propensity"],
    "deliveries": ["status", "reply"],
    "opens": ["machine", "user_agent"],
    "clicks": ["url", "machine", "user_agent"],
    "orders": ["order_id", "amount_minor", "currency", "amount_base_minor"],
}
KIND = {"assignments": "assignment", "deliveries": "delivery", "opens": "open", "clicks": "click", "orders": "order"}
LINE = [
    "event_id", "kind", "event_time", "contact_key", "message_id", "campaign_id", "experiment_id", "variant", "channel",
    "market", "planned_at", "propensity", "status", "url", "order_id", "amount", "currency",
]


def connect():
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2; SET memory_limit = '6GB'; SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
    connection.execute("SET enable_progress_bar = false")
    # The same bits from the same row and purpose, and different ones from different: hashing one whole number is one to one,
    # while the parts of hash(i, purpose) are too much alike.
    connection.execute("CREATE MACRO bits(i, purpose) AS hash(i * 64 + purpose)")
    connection.execute("CREATE MACRO u(i, purpose) AS (bits(i, purpose) >> 11)::DOUBLE / 9007199254740992.0")
    connection.execute("CREATE MACRO pick(list, share) AS list[1 + least(floor(len(list) * share), len(list) - 1)::INT]")
    connection.execute("CREATE MACRO cents(i, a, b) AS round(100 * exp(3.2 + 0.9 * sqrt(-2 * ln(1 - u(i, a))) * cos(2 * pi() * u(i, b))))::BIGINT")
    connection.execute("CREATE MACRO hours(h) AS to_microseconds((h * 3600e6)::BIGINT)")
    connection.execute("CREATE MACRO hex16(x) AS lpad(lower(to_hex(x)), 16, '0')")
    return connection


def deliveries_of(day, deliveries):
    """The deliveries of one day, numbered through all days; contacts differ much in how often they are written to."""
    first, end = -(-day * deliveries // DAYS), -(-(day + 1) * deliveries // DAYS)
    experiment = f"{day // DAYS_PER_ROUND * EXPERIMENTS_AT_ONCE} + floor({EXPERIMENTS_AT_ONCE} * u(i, 1))::INT"
    return f"""
        WITH chosen AS (
          SELECT i, {experiment} AS experiment, floor({CONTACTS} * pow(u(i, 2), 1.5))::BIGINT AS contact FROM range({first}, {end}) t(i)
        ), varied AS (SELECT *, floor(3 * u(contact * 64 + experiment, 3))::INT AS arm FROM chosen)
        SELECT i, experiment, arm, contact,
          (bits(contact, 4) >> 1)::BIGINT AS contact_key,
          hex16(bits(i, 5)) || hex16(bits(i, 6)) AS message_id,
          'campaign-' || (experiment * 10 + floor(10 * u(i, 7))::INT) AS campaign_id,
          'exp-' || experiment AS experiment_id,
          pick({VARIANTS}, (arm + 0.5) / 3) AS variant,
          pick({CHANNELS}, u(i, 8)) AS channel,
          pick({MARKETS}, pow(u(contact, 9), 2)) AS market,
          TIMESTAMP '{FIRST_DAY}' + to_days({day}) + hours(24 * u(i, 10)) AS sent_at
        FROM varied"""


def events_of_day():
    """What the deliveries in `sent` lead to: a third opens, a tenth of those clicks, 15 % of those order; and 2 % order unasked."""
    opened = "u(i, 20) < 0.33 + 0.02 * arm"
    clicked = f"{opened} AND u(i, 21) < 0.10 + 0.01 * arm"
    later = "hours(-6 * ln(1 - u(i, 22)))"
    belongs = "message_id, campaign_id, experiment_id, variant, channel"
    row = lambda kind, purpose, at, minor="NULL", columns=belongs, where="true": (
        f"SELECT '{kind}' AS kind, hex16(bits(i, {purpose})) AS event_id, {at} AS event_time, contact_key, {columns}, "
        f"market, {minor} AS amount_minor FROM sent WHERE {where}"
    )
    nothing = ", ".join(f"NULL AS {column}" for column in belongs.split(", "))
    return " UNION ALL ".join([
        row("delivery", 40, "sent_at"),
        row("open", 41, f"sent_at + {later}", where=opened),
        row("click", 42, f"sent_at + {later} + hours(1 / 60)", where=clicked),
        row("order", 43, f"sent_at + {later} + hours(72 * u(i, 23))", "cents(i, 24, 25)", where=f"{clicked} AND u(i, 26) < 0.15"),
        row("order", 44, "sent_at + hours(120 * u(i, 30))", "cents(i, 31, 32)", nothing, "u(i, 33) < 0.02"),
    ])


def make(arguments):
    connection, folder = connect(), arguments.folder
    begin = time.monotonic()
    draft = folder / "draft"
    for stale in [draft, folder / "tables", folder / "parquet", folder / "ndjson"]:
        shutil.rmtree(stale, ignore_errors=True)
    draft.mkdir(parents=True)
    for day in range(DAYS):
        connection.execute(f"CREATE OR REPLACE TABLE sent AS {deliveries_of(day, arguments.deliveries)}")
        parts = f"SELECT *, event_time::DATE AS event_date FROM ({events_of_day()})"
        if arguments.assignments:
            parts += f" UNION ALL BY NAME {assignments_of(connection, day)}"
        end = f"DATE '{FIRST_DAY}' + {DAYS_KEPT}"
        connection.execute(
            f"COPY (FROM ({parts}) WHERE event_date < {end}) TO '{draft}' "
            f"(FORMAT parquet, PARTITION_BY (event_date), FILENAME_PATTERN 'day{day:02}-{{i}}', OVERWRITE_OR_IGNORE true)"
        )
    counts = {}
    for source in sorted(draft.iterdir()):
        write_day(connection, source, folder, arguments, counts)
        shutil.rmtree(source)
    draft.rmdir()
    seconds = time.monotonic() - begin
    print(f"{sum(counts.values()):,} events in {seconds:.0f} s: " + ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())))


def assignments_of(connection, day):
    """Who is written to in an experiment for the first time today was given their variant a minute before."""
    if day % DAYS_PER_ROUND == 0:
        connection.execute("CREATE OR REPLACE TABLE known (experiment INT, contact BIGINT)")
    fixed = ", ".join(f"any_value({column}) AS {column}" for column in ["contact_key", "experiment_id", "variant", "market"])
    fresh = f"SELECT experiment, contact, min(sent_at) AS planned_at, {fixed} FROM sent ANTI JOIN known USING (experiment, contact)"
    connection.execute(f"CREATE OR REPLACE TABLE given AS {fresh} GROUP BY experiment, contact")
    connection.execute("INSERT INTO known SELECT experiment, contact FROM given")
    return (
        "SELECT 'assignment' AS kind, hex16(bits(contact * 64 + experiment, 45)) AS event_id, contact_key, experiment_id, variant, market, "
        "greatest(planned_at - hours(1 / 60), planned_at::DATE::TIMESTAMP) AS event_time, planned_at, planned_at::DATE AS event_date FROM given"
    )


def write_day(connection, source, folder, arguments, counts):
    """One day in the order of arrival, in every form."""
    day = source.name.removeprefix("event_date=")
    columns = "event_id VARCHAR, kind VARCHAR, event_time TIMESTAMP, contact_key BIGINT, message_id VARCHAR, campaign_id VARCHAR, "
    columns += "experiment_id VARCHAR, variant VARCHAR, channel VARCHAR, market VARCHAR, amount_minor BIGINT, planned_at TIMESTAMP"
    connection.execute(f"CREATE OR REPLACE TABLE today ({columns})")
    files = f"read_parquet('{source}/*.parquet', union_by_name = true, hive_partitioning = false)"
    connection.execute(f"INSERT INTO today BY NAME SELECT * FROM {files} ORDER BY event_time, event_id")
    parquet = f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
    for table, kind in KIND.items():
        rows = connection.execute(f"SELECT count(*) FROM today WHERE kind = '{kind}'").fetchone()[0]
        if rows:
            place = folder / "tables" / table / f"event_date={day}"
            place.mkdir(parents=True)
            connection.execute(f"COPY ({table_rows(table)}) TO '{place}/arrival.parquet' {parquet}")
            counts[table] = counts.get(table, 0) + rows
    (folder / "parquet").mkdir(exist_ok=True)
    connection.execute(f"COPY (SELECT {', '.join(LINE)} FROM ({lines()})) TO '{folder}/parquet/{day}.parquet' {parquet}")
    if arguments.ndjson:
        (folder / "ndjson").mkdir(exist_ok=True)
        plain = "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\t')"
        connection.execute(f"COPY (SELECT {line_text()} FROM ({lines()})) TO '{folder}/ndjson/{day}.ndjson' {plain}")


def table_rows(table):
    """The rows of one table of the day, in the lake's own columns."""
    values = {column: column for column in COMMON + OWN[table]}
    values |= {column: f"timezone('UTC', {column})" for column in ["event_time", "planned_at"] if column in values}
    values["received_at"] = "timezone('UTC', event_time + hours(1 / 3600))"
    values |= {"provider": "NULL::VARCHAR", "recommendation_id": "NULL::VARCHAR"}
    own = {
        "status": "'delivered'", "reply": "NULL::VARCHAR", "machine": "false", "user_agent": "NULL::VARCHAR", "url": "'https://shop.example/' || campaign_id",
        "order_id": "event_id", "currency": "'USD'", "amount_base_minor": "amount_minor", "propensity": "1 / 3.0::DOUBLE",
    }
    values |= {column: value for column, value in own.items() if column in values}
    return f"SELECT {', '.join(f'{value} AS {column}' for column, value in values.items())} FROM today WHERE kind = '{KIND[table]}'"


def lines():
    """The day in the columns of a line of POST /v1/events."""
    only = lambda kind, value: f"CASE WHEN kind = '{kind}' THEN {value} END"
    return f"""SELECT event_id, kind, timezone('UTC', event_time) AS event_time, contact_key::VARCHAR AS contact_key, message_id, campaign_id,
        experiment_id, variant, channel, market, timezone('UTC', planned_at) AS planned_at,
        {only('assignment', '1 / 3.0::DOUBLE')} AS propensity, {only('delivery', "'delivered'")} AS status,
        {only('click', "'https://shop.example/' || campaign_id")} AS url, {only('order', 'event_id')} AS order_id,
        (amount_minor::DECIMAL(18, 2) / 100)::DECIMAL(18, 2) AS amount, {only('order', "'USD'")} AS currency FROM today"""


def line_text():
    """A line as JSON: texts here need no escapes, and absent fields are left out."""
    field = lambda name, value: f""" || coalesce(',"{name}":' || {value}, '')"""
    text = lambda value: f"""'"' || {value} || '"'"""
    time_text = lambda value: text(f"strftime({value}::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')")
    line = """'{"event_id":"' || event_id || '"'"""
    for name in LINE[1:]:
        if name in ("event_time", "planned_at"):
            line += field(name, time_text(name))
        elif name in ("propensity", "amount"):
            line += field(name, f"{name}::VARCHAR")
        else:
            line += field(name, text(name))
    return line + " || '}'"


def requests(folder):
    """The lines of every day, cut at line ends into bodies."""
    for path in sorted((folder / "ndjson").glob("*.ndjson")):
        rest = b""
        with path.open("rb") as file:
            while chunk := file.read(REQUEST_BYTES):
                cut = chunk.rfind(b"\n") + 1
                yield rest + chunk[:cut]
                rest = chunk[cut:]
        if rest:
            yield rest


def feed(arguments):
    server = Server(arguments.data, arguments.sendlab)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/x-ndjson"}
    bodies, lock, totals = requests(arguments.folder), threading.Lock(), {"accepted": 0, "duplicate": 0, "rejected": 0, "refused": 0}

    def send():
        connection = http.client.HTTPConnection(server.address)
        while True:
            with lock:
                body = next(bodies, None)
            if body is None:
                return
            while True:
                connection.request("POST", "/v1/events", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 429:
                    break
                totals["refused"] += 1
                time.sleep(float(answer.headers.get("Retry-After", 1)))
            if answer.status != 200:
                print(f"{answer.status}: {text[:500]!r}", file=sys.stderr)
                os._exit(1)
            told = json.loads(text)
            with lock:
                for word in ("accepted", "duplicate", "rejected"):
                    totals[word] += told[word]

    begin = time.monotonic()
    senders = [threading.Thread(target=send) for _ in range(arguments.connections)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        senders[0].join(5)
        for sender in senders:
            sender.join(0.01)
        print(f"  {totals['accepted']:,} accepted after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    seconds = time.monotonic() - begin
    print(f"{totals['accepted']:,} accepted, {totals['duplicate']:,} known, {totals['rejected']:,} rejected, {totals['refused']:,} times "
          f"429, in {seconds:.1f} s: {totals['accepted'] / seconds:,.0f} events/s")
    server.stop()


def attach(arguments):
    """Names files in a commit that a Delta writer could have made, with the statistics the lake keeps to skip files by."""
    import duckdb

    if arguments.sendlab and not folders(arguments.data):
        Server(arguments.data, arguments.sendlab).stop()
    if (arguments.data / "server.json").exists():
        sys.exit(f"{arguments.data}/server.json names a running server; stop it first")
    connection = connect()
    for source in sorted((arguments.folder / "tables").iterdir()):
        table = arguments.data / "lake" / "tables" / source.name
        log = table / "_delta_log"
        if not log.is_dir():
            sys.exit(f"{table} is no table; give --sendlab PROGRAM to make it")
        version = max(int(path.stem) for path in log.glob("*.json")) + 1
        now = int(time.time() * 1000)
        actions = [{"commitInfo": {"timestamp": now, "operation": "WRITE", "operationParameters": {"mode": "Append"}}}]
        for path in sorted(source.glob("event_date=*/*.parquet")):
            name = path.relative_to(source).with_name(LANDED if arguments.landed else path.name)
            place = table / name
            place.parent.mkdir(exist_ok=True)
            if arguments.landed:
                rows = f"FROM read_parquet('{path}', hive_partitioning = false) ORDER BY experiment_id NULLS FIRST, contact_key, event_time"
                connection.execute(f"COPY ({rows}) TO '{place}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
            else:
                link_or_copy(path, place)
            actions.append({"add": {
                "path": str(name), "partitionValues": {"event_date": path.parent.name.removeprefix("event_date=")},
                "size": place.stat().st_size, "modificationTime": now - int(arguments.hours_ago * 3_600_000), "dataChange": True,
                "stats": json.dumps(statistics(connection, path)),
            }})
        draft = log / "draft"
        draft.write_text("".join(json.dumps(action, separators=(",", ":")) + "\n" for action in actions))
        draft.rename(log / f"{version:020}.json")
        print(f"{source.name}: {len(actions) - 1} files in version {version}", flush=True)


def link_or_copy(path, place):
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


def statistics(connection, path):
    columns = ["event_time", "received_at", "experiment_id", "campaign_id"]
    # Delta keeps milliseconds, so the greatest time is told a little too late rather than too early.
    late = {"min": "", "max": " + INTERVAL 999 MICROSECONDS"}
    write = lambda c, f: f"strftime({f}({c}){late[f]}, '%Y-%m-%dT%H:%M:%S.%gZ')" if c in columns[:2] else f"{f}({c})"
    asked = ["count(*)"] + [write(c, f) for f in ("min", "max") for c in columns] + [f"count(*) - count({c})" for c in columns]
    rows, *values = connection.execute(f"SELECT {', '.join(asked)} FROM '{path}'").fetchone()
    least, most, nulls = (dict(zip(columns, values[at : at + 4])) for at in (0, 4, 8))
    kept = lambda found: {column: value for column, value in found.items() if value is not None}
    return {"numRecords": rows, "minValues": kept(least), "maxValues": kept(most), "nullCount": nulls}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, work in [("make", make), ("feed", feed), ("attach", attach)]:
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        command.add_argument("folder", type=Path)
        if name == "make":
            command.add_argument("--deliveries", type=int, default=20_000_000)
            command.add_argument("--assignments", action="store_true", help="also who was given which variant: 17 million rows beside 20 million")
            command.add_argument("--ndjson", action="store_true", help="also lines for POST /v1/events: 270 bytes an event")
        else:
            command.add_argument("--data", type=Path, required=True, help="the data folder of the server")
            command.add_argument("--sendlab", help="the program to start a server with")
        if name == "attach":
            command.add_argument("--landed", action="store_true", help="as a landing would have written them")
            command.add_argument("--hours-ago", type=float, default=0, help="when that was")
        if name == "feed":
            command.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
