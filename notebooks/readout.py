# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A readout, drawn and recomputed
#
# Fetches the readout of one experiment over HTTP, draws its forest plot, and computes every difference again in two
# other ways: from SQL as an analyst would write it, and from the lake's Delta tables with a reader that is not
# Sendlab's. The notebook fails where they disagree.
#
# Settings come from the environment: `SENDLAB_URL`, `SENDLAB_KEY` (a key with the scope `read`), `SENDLAB_EXPERIMENT`
# (the first one where it is not set) and `SENDLAB_LAKE` (the folder of the Delta tables; without it that part is left
# out).

# %%
import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

URL = os.environ.get("SENDLAB_URL", "http://127.0.0.1:8080").rstrip("/")
KEY = os.environ.get("SENDLAB_KEY", "")
LAKE = os.environ.get("SENDLAB_LAKE", "")


def call(path, body=None):
    """Asks the API and gives the body of the answer; an error says what the API said."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain; charset=utf-8"}
    request = urllib.request.Request(URL + path, data=body.encode() if body else None, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{path} answered {error.code}: {error.read().decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise RuntimeError(f"{URL} does not answer ({error.reason}); start `sendlab serve` or set SENDLAB_URL") from None


def get(path):
    return json.loads(call(path))


def sql(query):
    """The rows of a query as a data frame."""
    # Only an empty field is no value: a variant may be called `None` or `NA`.
    answer = call("/v1/sql?format=csv", query)
    return pd.read_csv(io.BytesIO(answer), keep_default_na=False, na_values=[""])


# %%
if not KEY:
    raise RuntimeError("set SENDLAB_KEY to a key with the scope `read`; `sendlab keys create` makes one")
EXPERIMENT = os.environ.get("SENDLAB_EXPERIMENT") or get("/v1/experiments")[0]["experiment"]
path = "/v1/experiments/" + urllib.parse.quote(EXPERIMENT, safe="")
experiment = get(path)
readout = get(path + "/readout")
currency = get("/v1/lake")["base_currency"]

print(experiment.get("question") or EXPERIMENT)
print(readout["verdict"]["sentence"])
for doubt in readout["doubts"]:
    print(f"{doubt['code']}: {doubt['sentence']}")

# %% [markdown]
# ## The forest plot
#
# Relative effects against control with their intervals. Filled: distinguishable from no effect after Holm's correction.

# %%
metrics = {metric["name"]: metric for metric in experiment["metrics"]}
against_control = [estimate for estimate in readout["estimates"] if estimate["baseline"] == readout["control"]]
rows = {name: [estimate for estimate in against_control if estimate["metric"] == name] for name in metrics}
heights = [len(group) + 1 for group in rows.values()]
figure, panels = plt.subplots(
    len(rows), 1, figsize=(8, 0.45 * sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
)

for panel, (name, group) in zip(panels[:, 0], rows.items()):
    for place, estimate in enumerate(group):
        lift = estimate["relative"].get("computed")
        if lift is None:
            why = estimate["relative"]["degenerate"]["why"]
            panel.text(0, place, f"cannot be computed, because {why}", va="center", fontsize=8)
            continue
        colour = "tab:gray"
        if estimate["significant"] and estimate["better"] is not None:
            colour = "tab:green" if estimate["better"] else "tab:red"
        ends = [lift["interval"]["lower"], lift["interval"]["upper"]]
        if None not in ends:
            panel.plot(ends, [place, place], color=colour, linewidth=2)
        filled = colour if estimate["significant"] else "white"
        panel.plot(lift["relative"], place, "o", color=colour, markerfacecolor=filled)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_yticks(range(len(group)), [estimate["variant"] for estimate in group])
    panel.set_ylim(len(group) - 0.5, -0.5)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    panel.set_title(f"{name}, relative to {readout['control']}", loc="left", fontsize=10)
plt.show()

# %% [markdown]
# ## The same numbers from SQL
#
# One query per metric. The unit is the intended recipient: a contact counts in the variant it was first assigned, its
# outcomes count from the planned hour of sending for the length of the window, and only contacts whose window is over
# count at all. Opens, clicks, orders, unsubscribes and complaints, as they are, are computed here; profit, ratios and
# what is capped are not.

# %%
TABLES = {"open": "opens", "click": "clicks", "order": "orders", "unsubscribe": "feedback", "complaint": "feedback"}
DECIMALS = dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0)
DECIMALS |= dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
MINOR_PER_MAJOR = 10.0 ** DECIMALS.get(currency, 2)
WINDOW_HOURS = experiment["window_hours"]
HUMAN_ONLY = {"open", "click"}
# Orders count by contact; everything else must not belong to another experiment.
OWN_ONLY = {"open", "click", "unsubscribe", "complaint"}


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def conditions(metric):
    """What an outcome must be to count in this metric."""
    if metric["outcome"] in OWN_ONLY:
        yield f"(o.experiment_id = {literal(EXPERIMENT)} OR o.experiment_id IS NULL)"
    if metric["outcome"] in HUMAN_ONLY and metric["human_only"]:
        yield "NOT o.machine"
    if TABLES[metric["outcome"]] == "feedback":
        yield f"o.feedback = {literal(metric['outcome'])}"


def query(metric):
    """Number, mean and variance of one metric per variant."""
    value = {
        "occurred": "CASE WHEN count(o.event_id) > 0 THEN 1.0 ELSE 0.0 END",
        "count": "CAST(count(o.event_id) AS DOUBLE)",
        "amount": f"coalesce(sum(o.amount_base_minor), 0) / {MINOR_PER_MAJOR}",
    }[metric["measure"]]
    counts = "".join(f"\n        AND {condition}" for condition in conditions(metric))
    return f"""
WITH assigned AS (
    SELECT contact_key, variant, coalesce(planned_at, event_time) AS begins,
        row_number() OVER (PARTITION BY contact_key ORDER BY event_time, received_at, event_id) AS nth
    FROM assignments
    WHERE experiment_id = {literal(EXPERIMENT)}
),
recipients AS (
    SELECT contact_key, variant, begins, begins + INTERVAL '{WINDOW_HOURS} hours' AS ends
    FROM assigned
    WHERE nth = 1 AND begins + INTERVAL '{WINDOW_HOURS} hours' <= TIMESTAMP '{readout["as_of"]}'
),
per_recipient AS (
    SELECT r.contact_key, r.variant, {value} AS y
    FROM recipients r
    LEFT JOIN {TABLES[metric["outcome"]]} o
        ON o.contact_key = r.contact_key AND o.event_time >= r.begins AND o.event_time < r.ends{counts}
    GROUP BY r.contact_key, r.variant
)
SELECT variant, count(*) AS n, avg(y) AS mean, var_samp(y) AS variance
FROM per_recipient
GROUP BY variant
ORDER BY variant
""".strip()


def is_plain(metric):
    """Whether a metric is one number of a recipient's events in one table."""
    known = metric["outcome"] in TABLES and metric["measure"] in ("occurred", "count", "amount")
    return known and metric.get("cap") is None and metric.get("per") is None


plain = {name: metric for name, metric in metrics.items() if is_plain(metric)}
from_sql = {name: sql(query(metric)).set_index("variant") for name, metric in plain.items()}
if readout["primary"] in plain:
    print(query(plain[readout["primary"]]))
pd.concat(from_sql, names=["metric"])

# %% [markdown]
# Welch's test from these sums, beside what the readout says.


# %%
def welch(control, variant):
    """Difference, interval and p-value from number, mean and variance of two groups."""
    parts = np.array([group["variance"] / group["n"] for group in (control, variant)])
    error = np.sqrt(parts.sum())
    freedom = parts.sum() ** 2 / sum(part**2 / (group["n"] - 1) for part, group in zip(parts, (control, variant)))
    difference = variant["mean"] - control["mean"]
    reach = stats.t.ppf(1 - readout["alpha"] / 2, freedom) * error
    p_value = 2 * stats.t.sf(abs(difference) / error, freedom)
    return difference, difference - reach, difference + reach, p_value


def compare(groups, source):
    """Every difference of the readout beside the one from `groups`; fails where they are not the same."""
    lines = []
    for arm in readout["arms"]:
        for name, group in groups.items():
            if arm["mature"] == 0:
                assert arm["variant"] not in group.index, f"{source}: {arm['variant']} has recipients"
                continue
            found = group.loc[arm["variant"]]
            assert found["n"] == arm["mature"], f"{source}: n of {arm['variant']} is {found['n']}, not {arm['mature']}"
            np.testing.assert_allclose(found["mean"], arm["means"][name], rtol=1e-9, atol=1e-15, err_msg=name)
    for estimate in readout["estimates"]:
        told = estimate["absolute"].get("computed")
        if told is None or estimate["metric"] not in groups:
            continue
        group = groups[estimate["metric"]]
        computed = welch(group.loc[estimate["baseline"]], group.loc[estimate["variant"]])
        expect = (told["difference"], told["interval"]["lower"], told["interval"]["upper"], told["p_value"])
        what = f"{source}: {estimate['metric']} of {estimate['variant']} against {estimate['baseline']}"
        scale = told["standard_error"]
        np.testing.assert_allclose(computed[:3], expect[:3], rtol=1e-6, atol=1e-6 * scale, err_msg=what)
        np.testing.assert_allclose(computed[3], expect[3], rtol=1e-4, atol=1e-12, err_msg=what)
        lines.append((estimate["metric"], estimate["variant"], estimate["baseline"], *computed, told["difference"]))
    columns = ["metric", "variant", "baseline", "difference", "lower", "upper", "p", "readout says"]
    print(f"{source}: {len(lines)} comparisons agree with the readout.")
    return pd.DataFrame(lines, columns=columns)


compare(from_sql, "SQL")

# %% [markdown]
# ## The same numbers from the Delta tables
#
# Read with the `deltalake` package, at the very versions the readout names. Anything that reads Delta can do this.


# %%
def table(name, columns):
    """Columns of a table of the lake, as the readout saw it."""
    from deltalake import DeltaTable

    version = readout["versions"][name]
    return DeltaTable(os.path.join(LAKE, name), version=version).to_pandas(columns=columns)


def recipients_from_delta():
    """First assignment of each contact whose window is over."""
    order = ["event_time", "received_at", "event_id"]
    rows = table("assignments", ["contact_key", "experiment_id", "variant", "planned_at", *order])
    rows = rows[rows["experiment_id"] == EXPERIMENT].sort_values(order).drop_duplicates("contact_key")
    rows["begins"] = rows["planned_at"].fillna(rows["event_time"])
    rows["ends"] = rows["begins"] + pd.Timedelta(hours=WINDOW_HOURS)
    return rows.loc[rows["ends"] <= pd.Timestamp(readout["as_of"]), ["contact_key", "variant", "begins", "ends"]]


def outcomes_from_delta(metric):
    """The events that count in a metric, whenever they were."""
    name = TABLES[metric["outcome"]]
    own = {"opens": ["machine"], "clicks": ["machine"], "orders": ["amount_base_minor"], "feedback": ["feedback"]}[name]
    rows = table(name, ["contact_key", "event_time", "experiment_id", *own])
    if metric["outcome"] in OWN_ONLY:
        rows = rows[rows["experiment_id"].isna() | (rows["experiment_id"] == EXPERIMENT)]
    if metric["outcome"] in HUMAN_ONLY and metric["human_only"]:
        rows = rows[~rows["machine"].astype(bool)]
    return rows[rows["feedback"] == metric["outcome"]] if name == "feedback" else rows


def from_delta(metric, recipients):
    """Number, mean and variance of one metric per variant."""
    rows = outcomes_from_delta(metric).merge(recipients, on="contact_key")
    rows = rows[(rows["event_time"] >= rows["begins"]) & (rows["event_time"] < rows["ends"])].groupby("contact_key")
    if metric["measure"] == "amount":
        values = rows["amount_base_minor"].sum() / MINOR_PER_MAJOR
    else:
        values = rows.size().clip(upper=1 if metric["measure"] == "occurred" else None)
    values = recipients["contact_key"].map(values).fillna(0).astype(float)
    return values.groupby(recipients["variant"]).agg(n="count", mean="mean", variance="var")


if LAKE:
    recipients = recipients_from_delta()
    by_delta = {name: from_delta(metric, recipients) for name, metric in plain.items()}
    compare(by_delta, "Delta tables")
else:
    print("Left out: set SENDLAB_LAKE to the folder of the Delta tables.")
