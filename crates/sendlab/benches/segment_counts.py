"""Counts the sample segments as Sendlab does and as SQL written by hand does, and times both.

    segment_counts.py --data DIR [--segments data/samples/segments.yaml] [--sendlab PROGRAM] [--runs 3]

Uses the server that runs on DIR, or starts PROGRAM there. Each segment is previewed, which asks as a plan does; the hand-written
query is asked for the same moment. Prints a line per segment and ends with 1 where two counts differ.
"""

import argparse
import json
import re
import statistics
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from lake_client import Server


def by_hand(at):
    """The twelve segments at a moment as one would write them, by name."""
    def ago(days):
        return f"TIMESTAMP '{(at - timedelta(days=days)).isoformat().replace('+00:00', 'Z')}'"

    now, today = ago(0), f"DATE '{at.date().isoformat()}'"
    orders = "SELECT contact_key FROM orders WHERE refund_of IS NULL AND event_time <= " + now

    def since(days):
        return f"event_time > {ago(days)} AND event_time <= {now}"

    birthday = " OR ".join(
        f"(date_part('month', birth_date) = {day.month} AND date_part('day', birth_date) = {day.day})"
        for day in (at.date() + timedelta(days=ahead) for ahead in range(7))
    )
    grown_up = at.date().replace(year=at.year - 18)
    return {
        "dach": "country IN ('DE', 'AT', 'CH')",
        "chinese-readers": "language = 'zh' OR language LIKE 'zh-%'",
        "rfm-champions": f"""contact_key IN ({orders} AND event_time > {ago(30)})
            AND contact_key IN ({orders} AND event_time > {ago(365)} GROUP BY contact_key HAVING count(*) >= 5)
            AND contact_key IN (SELECT contact_key FROM orders WHERE {since(365)} GROUP BY contact_key
                                HAVING sum(amount_base_minor) >= 50000)""",
        "shoe-lovers": "(array_has(interests, 'shoes') OR array_has(interests, 'boots')) "
                       "AND NOT array_has(tags, 'staff') AND NOT array_has(tags, 'b2b')",
        "dormant-30-days": f"""contact_key IN ({orders}) AND contact_key NOT IN (
            {orders} AND event_time > {ago(30)}
            UNION ALL SELECT contact_key FROM opens WHERE NOT machine AND {since(30)}
            UNION ALL SELECT contact_key FROM clicks WHERE NOT machine AND {since(30)})""",
        "welcome-no-order": f"""created_at > {ago(4)} AND created_at <= {ago(3)} AND contact_key NOT IN ({orders})""",
        "big-spenders-90-days": f"""contact_key IN (SELECT contact_key FROM orders WHERE {since(90)} GROUP BY contact_key
            HAVING sum(amount_base_minor) > 25000)""",
        "sms-not-email": f"""contact_key IN (SELECT contact_key FROM clicks WHERE NOT machine AND channel = 'sms' AND {since(90)})
            AND contact_key NOT IN (SELECT contact_key FROM opens WHERE NOT machine AND channel = 'email' AND {since(90)}
            UNION ALL SELECT contact_key FROM clicks WHERE NOT machine AND channel = 'email' AND {since(90)})""",
        "birthday-this-week": f"({birthday}) AND birth_date <= DATE '{grown_up.isoformat()}' AND birth_date <= {today}",
        "reachable-on-whatsapp": "array_has(channels, 'whatsapp')",
        "lapsing": f"""contact_key IN ({orders} AND event_time > {ago(120)} AND event_time <= {ago(30)})
            AND contact_key NOT IN ({orders} AND event_time > {ago(30)})""",
        "clicked-did-not-order": f"""contact_key IN (SELECT contact_key FROM clicks
            WHERE NOT machine AND campaign_id = 'spring-test' AND {since(14)})
            AND contact_key NOT IN ({orders} AND event_time > {ago(14)})""",
    }


def moment(query):
    """The moment a preview asked for: the latest that its query names."""
    times = [datetime.fromisoformat(text) for text in re.findall(r"TIMESTAMP '([^']+)'", query)]
    return max(times, default=datetime.now(timezone.utc))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--segments", default="data/samples/segments.yaml")
    parser.add_argument("--sendlab")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    server = Server(args.data, args.sendlab)
    documents = re.split(r"(?m)^(?=- segment:)", Path(args.segments).read_text(encoding="utf-8"))[1:]
    wrong = 0
    try:
        for document in documents:
            name = re.match(r"- segment: (\S+)", document)[1]
            times = []
            for _ in range(args.runs):
                status, _, body = server.post("/v1/segments/preview", document.encode(), "application/yaml")
                if status != 200:
                    raise SystemExit(f"{name}: {status} {body.decode()}")
                seen = json.loads(body)
                times.append(seen["milliseconds"])
            query = f"SELECT count(*) AS n FROM contacts WHERE {by_hand(moment(seen['query']))[name]}"
            began = time.monotonic()
            expect = server.rows(query)[0]["n"]
            hand = (time.monotonic() - began) * 1000
            same = "equal" if seen["count"] == expect else f"BROKEN, by hand {expect}"
            wrong += seen["count"] != expect
            print(f"{name:24} {seen['count']:>9,} contacts in {statistics.median(times):8.1f} ms, by hand {hand:8.1f} ms, {same}")
    finally:
        server.stop()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
