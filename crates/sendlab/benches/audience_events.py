"""Gives the events of lake_data.py to the contacts of a lake, so that segments can be asked over both.

    audience_events.py --data DIR --events FOLDER --out FOLDER [--sendlab PROGRAM] [--share 60] [--today 2026-01-31]

FOLDER/parquet of `lake_data.py make` names contacts by number; here each becomes a contact of DIR. Of the deliveries SHARE percent
are kept, all times are moved by whole days so that the last event is on the day before TODAY, and campaigns to a tenth of
the contacts are called `spring-test`. `sendlab import events OUT/*.parquet` brings them in.
"""

import argparse
import datetime
from pathlib import Path

import duckdb

from lake_client import Server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--events", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--sendlab")
    parser.add_argument("--share", type=int, default=60)
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=datetime.date.today())
    args = parser.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    server = Server(args.data, args.sendlab)
    try:
        (out / "keys.csv").write_bytes(server.sql("SELECT contact_key FROM contacts", "csv"))
    finally:
        server.stop()
    with duckdb.connect() as lake:
        lake.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET memory_limit = '3GB'")
        lake.execute(
            "CREATE TABLE keys AS SELECT row_number() OVER () - 1 AS place, contact_key "
            f"FROM read_csv('{out}/keys.csv', columns = {{'contact_key': 'BIGINT'}}, header = true)"
        )
        contacts = lake.execute("SELECT count(*) FROM keys").fetchone()[0]
        if not contacts:
            raise SystemExit(f"there are no contacts in {args.data}: import some first")
        last = lake.execute(f"SELECT max(event_time)::DATE FROM '{args.events}/parquet/*.parquet'").fetchone()[0]
        days = (args.today - last).days - 1
        for file in sorted(Path(args.events, "parquet").glob("*.parquet")):
            lake.execute(
                f"""COPY (
                    SELECT e.event_id, e.kind, e.event_time + INTERVAL {days} DAY AS event_time,
                        keys.contact_key::VARCHAR AS contact_key, e.message_id,
                        CASE WHEN e.campaign_id IS NOT NULL AND keys.place % 10 = 0 THEN 'spring-test' ELSE e.campaign_id END
                            AS campaign_id, e.channel, e.status, e.url,
                        e.order_id, e.amount, e.currency
                    FROM '{file}' e JOIN keys ON keys.place = (e.contact_key::BIGINT - 1) % {contacts}
                    WHERE e.kind <> 'delivery' OR hash(e.event_id) % 100 < {args.share}
                ) TO '{out / file.name}' (FORMAT parquet, COMPRESSION zstd)"""
            )
    (out / "keys.csv").unlink()


if __name__ == "__main__":
    main()
