"""Makes a CSV of contacts to import: 40 countries, 25 languages, 3 % of the rows broken in one of ten ways.

    contacts_data.py CSV [--rows 1000000] [--seed 1] [--today 2026-01-31]

Beside the CSV it writes CSV.truth.json: how many rows are good, how many are broken in each way with the field that the
report should name, and 1,000 sampled addresses that must be found nowhere in clear. The same seed makes the same file; with --today,
each row says when it registered too, in the 400 days before.
"""

import argparse
import csv
import datetime
import json
import random
import sys

# Country, language, the country's code with the first digits of its mobile numbers, and how many digits follow; None where
# the numbers are left out.
PLACES = [
    ("US", "en-US", "+1212", 7), ("GB", "en-GB", "+4471", 8), ("DE", "de", "+49151", 8), ("FR", "fr", "+336", 8),
    ("ES", "es", "+346", 8), ("IT", "it", "+3934", 8), ("BR", "pt-BR", "+55119", 8), ("CN", "zh-Hans-CN", "+86138", 8),
    ("JP", "ja", "+81901", 7), ("KR", "ko", "+82102", 7), ("IN", "hi", "+9198", 8), ("AU", "en-AU", "+61412", 6),
    ("PL", "pl", "+48601", 6), ("CA", "fr-CA", "+1416", 7), ("AE", "ar", "+97150", 7), ("MX", "es-MX", None, 0),
    ("AT", "de-AT", None, 0), ("CH", "de-CH", None, 0), ("NL", "nl", None, 0), ("BE", "nl-BE", None, 0),
    ("SE", "sv", None, 0), ("NO", "nb", None, 0), ("DK", "da", None, 0), ("FI", "fi", None, 0), ("PT", "pt-PT", None, 0),
    ("IE", "en-GB", None, 0), ("CZ", "cs", None, 0), ("HU", "hu", None, 0), ("RO", "ro", None, 0), ("GR", "el", None, 0),
    ("TR", "tr", None, 0), ("IL", "en-US", None, 0), ("SA", "ar", None, 0), ("EG", "ar", None, 0), ("ZA", "en-GB", None, 0),
    ("NG", "en-GB", None, 0), ("TH", "en-GB", None, 0), ("VN", "en-GB", None, 0), ("ID", "en-GB", None, 0),
    ("SG", "zh-Hans-CN", None, 0),
]
COLUMNS = [
    "key", "email", "phone", "whatsapp", "country", "language", "time_zone", "interests", "tags", "device", "birth_date", "source", "tier",
    "size",
]
INTERESTS = ["shoes", "bags", "hats", "toys", "garden", "phones", "books", "tea"]
SAMPLED = 1_000
BROKEN_SHARE = 0.03

# Each way of breaking a row: its name, the field that the report names, and what it does.
BREAKS = [
    ("no key", "key", lambda row: row.update(key="")),
    ("no address", "email", lambda row: row.update(email=row["email"].replace("@", " at "))),
    ("no domain", "email", lambda row: row.update(email=row["email"].split("@")[0] + "@shop..example")),
    ("no number", "phone", lambda row: row.update(phone="+49 12")),
    ("no country", "country", lambda row: row.update(country="UK")),
    ("no language", "language", lambda row: row.update(language="german_DE")),
    ("no time zone", "time_zone", lambda row: row.update(time_zone="Mars/Olympus")),
    ("no date", "birth_date", lambda row: row.update(birth_date="1990-02-30")),
    ("long attribute", "attributes.size", lambda row: row.update(size="x" * 1_025)),
    ("surplus column", "", lambda row: row.update(size=[row["size"], "surplus"])),
]


def rows(count, seed, today=None):
    """Rows as dictionaries with the way each is broken, or None."""
    draw = random.Random(seed)
    for number in range(1, count + 1):
        country, language, prefix, digits = PLACES[int(len(PLACES) * draw.random() ** 2)]
        phone = ""
        # The number of the row makes it unique; numbers do not begin with a zero, and short ones run out.
        if prefix and number < 7 * 10 ** (digits - 1) and draw.random() < 0.6:
            phone = prefix + str(2 * 10 ** (digits - 1) + number)
        row = {
            "key": f"shop-{number}",
            "email": f"reader.{number}.{draw.randrange(10**6)}@mail{number % 50}.example",
            "phone": phone,
            "whatsapp": phone if number % 50 == 7 else "",
            "country": country,
            "language": language,
            "time_zone": "",
            "interests": ";".join(draw.sample(INTERESTS, draw.randrange(4))),
            "tags": "vip" if draw.random() < 0.05 else "",
            "device": draw.choice(["android", "ios", "desktop", ""]),
            "birth_date": f"{draw.randrange(1940, 2008)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}",
            "source": draw.choice(["search", "fair", "partner", "friend"]),
            "tier": draw.choice(["bronze", "silver", "gold"]),
            "size": draw.choice(["S", "M", "L", "XL"]),
        }
        if today:
            row["registered_at"] = f"{today - datetime.timedelta(days=number % 400)}T12:00:00Z"
        broken = None
        if draw.random() < BROKEN_SHARE:
            broken = draw.randrange(len(BREAKS))
            BREAKS[broken][2](row)
        yield row, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=datetime.date.fromisoformat)
    args = parser.parse_args()
    columns = (["registered_at"] if args.today else []) + COLUMNS
    truth = {name: {"field": field, "rows": 0} for name, field, _ in BREAKS}
    good, addresses = 0, []
    pick = random.Random(args.seed + 1)
    with open(args.csv, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row, broken in rows(args.rows, args.seed, args.today):
            values = [row[name] for name in columns]
            writer.writerow(values[:-1] + (values[-1] if isinstance(values[-1], list) else [values[-1]]))
            if broken is not None:
                truth[BREAKS[broken][0]]["rows"] += 1
                continue
            good += 1
            if pick.random() < 2 * SAMPLED / args.rows and len(addresses) < SAMPLED:
                addresses.append(row["phone"] or row["email"])
    with open(args.csv + ".truth.json", "w", encoding="utf-8") as file:
        json.dump({"good": good, "broken": truth, "addresses": addresses}, file, indent=1)
    print(f"{args.rows} rows, {good} good, {args.rows - good} broken", file=sys.stderr)


if __name__ == "__main__":
    main()
