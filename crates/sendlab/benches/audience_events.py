"""Gives the events of lake_data.py to the contacts of a lake, so that segments can be asked over both.

    audience_events.py --data DIR --events FOLDER --out FOLDER [--sendlab PROGRAM] [--share 60] [--days 10]

FOLDER/parquet of `lake_data.py make` names contacts by number; here each becomes a contact of DIR. Of the deliveries SHARE percent
are kept, and all times are moved on by DAYS. `sendlab import events OUT/*.parquet` brings them in.
"""

import argparse
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
    parser.add_argument("--days", type=int, default=10)
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
        for file in sorted(Path(args.events, "parquet").glob("*.parquet")):
            lake.execute(
                f"""COPY (
                    SELECT e.event_id, e.kind, e.event_time + INTERVAL {args.days} DAY AS event_time,
                        keys.contact_key::VARCHAR AS contact_key, e.message_id, e.campaign_id, e.channel, e.status, e.url,
                        e.order_id, e.amount, e.currency
                    FROM '{file}' e JOIN keys ON keys.place = (e.contact_key::BIGINT - 1) % {contacts}
                    WHERE e.kind <> 'delivery' OR hash(e.event_id) % 100 < {args.share}
                ) TO '{out / file.name}' (FORMAT parquet, COMPRESSION zstd)"""
            )
    (out / "keys.csv").unlink()


if __name__ == "__main__":
    main()
