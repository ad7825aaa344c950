"""Times what others do with the inputs of `benches/peers.rs`, and writes those inputs.

usage: peers.py FOLDER

Writes FOLDER/grid.json and FOLDER/units.parquet, runs each peer on them in this process, and prints one JSON object of
seconds per task: the median of several runs after a first one that is not counted. Everything random has a fixed seed.
"""

import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

warnings.filterwarnings("ignore")

METRICS, VARIANTS, SEGMENTS, ROWS = 10, 5, 20, 1_000_000
SUMS = ["n", "sum", "sum_squares", "covariate_sum", "covariate_sum_squares", "sum_of_products"]


def timed(work, runs=7):
    work()
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def grid():
    """Sums of 10 metrics by segment and variant, of amounts with a covariate."""
    rng = np.random.default_rng(20261121)
    cells = []
    for segment in range(SEGMENTS):
        for variant in range(VARIANTS):
            n = int(rng.integers(4900, 5100))
            for metric in range(METRICS):
                x = rng.gamma(2.0, 10.0, n)
                y = 0.6 * x + rng.gamma(2.0, 8.0 * (1 + 0.01 * variant), n)
                sums = [n, y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum()]
                cells.append([segment, variant, metric, *map(float, sums)])
    return cells


def units(path):
    """A million recipients: an arm, rare and skewed money, and what they spent before."""
    rng = np.random.default_rng(7)
    before = np.where(rng.random(ROWS) < 0.3, rng.lognormal(3.0, 1.0, ROWS), 0.0)
    rate = 0.02 + 0.03 * (before > 0)
    spend = np.where(rng.random(ROWS) < rate, rng.lognormal(3.5, 1.0, ROWS), 0.0)
    table = pa.table({"variant": rng.integers(0, 2, ROWS).astype("int64"), "spend": spend, "before": before})
    pq.write_table(table, path, row_group_size=131_072)


def gbstats_tasks(cells):
    from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig
    from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
    from gbstats.gbstats import process_experiment_results
    from gbstats.models.statistics import RegressionAdjustedStatistic, SampleMeanStatistic, compute_theta

    def mean(cell):
        return SampleMeanStatistic(n=int(cell[3]), sum=cell[4], sum_squares=cell[5])

    def adjusted(cell):
        pre = SampleMeanStatistic(n=int(cell[3]), sum=cell[6], sum_squares=cell[7])
        return RegressionAdjustedStatistic(
            n=int(cell[3]), post_statistic=mean(cell), pre_statistic=pre, post_pre_sum_of_products=cell[8], theta=0
        )

    def cuped(a, b):
        a, b = adjusted(a), adjusted(b)
        a.theta = b.theta = compute_theta(a, b)
        return TwoSidedTTest(a, b, FrequentistConfig(difference_type="relative")).compute_result()

    bare = {
        "fixed": lambda a, b: TwoSidedTTest(mean(a), mean(b), FrequentistConfig(difference_type="relative")).compute_result(),
        "sequential": lambda a, b: SequentialTwoSidedTTest(
            mean(a), mean(b), SequentialConfig(difference_type="relative")
        ).compute_result(),
        "cuped": cuped,
        "bayesian": lambda a, b: EffectBayesianABTest(
            mean(a), mean(b), EffectBayesianConfig(difference_type="relative")
        ).compute_result(),
    }
    by_place = {(s, v, m): cell for cell in cells for s, v, m in [cell[:3]]}
    pairs = [
        (by_place[s, 0, m], by_place[s, v, m]) for s in range(SEGMENTS) for v in range(1, VARIANTS) for m in range(METRICS)
    ]

    def request(kind):
        rows = []
        for s in range(SEGMENTS):
            for v in range(VARIANTS):
                row = {"dimension": f"s{s}", "variation": str(v), "users": by_place[s, v, 0][3], "count": by_place[s, v, 0][3]}
                for m in range(METRICS):
                    cell = by_place[s, v, m]
                    row |= {f"m{m}_main_sum": cell[4], f"m{m}_main_sum_squares": cell[5]}
                    if kind == "cuped":
                        row |= {
                            f"m{m}_covariate_sum": cell[6],
                            f"m{m}_covariate_sum_squares": cell[7],
                            f"m{m}_main_covariate_sum_product": cell[8],
                        }
                rows.append(row)
        metric = {
            "statistic_type": "mean_ra" if kind == "cuped" else "mean",
            "main_metric_type": "count",
            "covariate_metric_type": "count" if kind == "cuped" else None,
        }
        analysis = {
            "var_names": [f"v{v}" for v in range(VARIANTS)],
            "var_ids": [str(v) for v in range(VARIANTS)],
            "weights": [1 / VARIANTS] * VARIANTS,
            "dimension": "segment",
            "stats_engine": "bayesian" if kind == "bayesian" else "frequentist",
            "sequential_testing_enabled": kind == "sequential",
        }
        return {
            "metrics": {f"m{m}": {"id": f"m{m}", "name": f"m{m}", **metric} for m in range(METRICS)},
            "analyses": [analysis],
            "query_results": [{"rows": rows, "metrics": [f"m{m}" for m in range(METRICS)]}],
        }

    tasks = {}
    for kind, test in bare.items():
        data = request(kind)
        tasks[f"one, {kind}: gbstats class call"] = timed(lambda: test(*pairs[0]), 50)
        tasks[f"grid, {kind}: gbstats class calls"] = timed(lambda: [test(a, b) for a, b in pairs], 3)
        tasks[f"grid, {kind}: gbstats pipeline"] = timed(lambda: process_experiment_results(data), 3)
    return tasks


def tea_tasting_tasks(cells):
    import tea_tasting as tt
    from tea_tasting.aggr import Aggregates

    def aggregates(segment, variant):
        own = [cell for cell in cells if cell[0] == segment and cell[1] == variant]
        n = own[0][3]
        moments = {"mean_": {}, "var_": {}, "cov_": {}}
        for _, _, m, _, y, yy, x, xx, xy in own:
            moments["mean_"] |= {f"m{m}": y / n, f"x{m}": x / n}
            moments["var_"] |= {f"m{m}": (yy - y * y / n) / (n - 1), f"x{m}": (xx - x * x / n) / (n - 1)}
            moments["cov_"] |= {(f"m{m}", f"x{m}"): (xy - x * y / n) / (n - 1)}
        return Aggregates(count_=int(n), **moments)

    data = [{v: aggregates(s, v) for v in range(VARIANTS)} for s in range(SEGMENTS)]
    plans = {
        "fixed": tt.Experiment({"ratio": tt.SampleRatio()} | {f"m{m}": tt.Mean(f"m{m}") for m in range(METRICS)}),
        "cuped": tt.Experiment({"ratio": tt.SampleRatio()} | {f"m{m}": tt.Mean(f"m{m}", f"x{m}") for m in range(METRICS)}),
    }

    def pipeline(plan):
        results = {s: plan.analyze(data[s], control=0, all_variants=True) for s in range(SEGMENTS)}
        flat = {(s, pair): result for s, by_pair in results.items() for pair, result in by_pair.items()}
        return tt.adjust_fwer(flat, metrics={f"m{m}" for m in range(METRICS)})

    tasks = {}
    for kind, plan in plans.items():
        metric = plan.metrics["m0"]
        tasks[f"one, {kind}: tea-tasting on aggregates"] = timed(lambda: metric.analyze(data[0], 0, 1), 50)
        tasks[f"grid, {kind}: tea-tasting pipeline"] = timed(lambda: pipeline(plan), 3)
    return tasks


def boundary_tasks():
    from spotify_confidence.analysis.frequentist.sequential_bound_solver import bounds

    fractions = np.arange(1, 31) / 30
    solve = lambda: bounds(fractions, alpha=0.05, rho=2, ztrun=8, sides=2, max_nints=1000)  # noqa: E731
    return {"30 looks: spotify-confidence": timed(solve, 3)}


WHOLE = """
import sys
import tea_tasting as tt
path, engine = sys.argv[1:]
plan = tt.Experiment(spend=tt.Mean("spend", "before"), ratio=tt.SampleRatio())
if engine == "duckdb":
    import ibis
    data = ibis.duckdb.connect().read_parquet(path)
else:
    import polars
    data = polars.scan_parquet(path)
print(plan.analyze(data))
"""


def unit_tasks(path):
    import ibis
    import polars
    import tea_tasting as tt

    with_ratio = {"ratio": tt.SampleRatio()}
    plans = {
        "plain": tt.Experiment(with_ratio | {"spend": tt.Mean("spend")}),
        "cuped": tt.Experiment(with_ratio | {"spend": tt.Mean("spend", "before")}),
    }
    connection = ibis.duckdb.connect()
    tasks = {}
    for kind, plan in plans.items():
        over_duckdb = lambda: plan.analyze(connection.read_parquet(path))  # noqa: B023,E731
        over_polars = lambda: plan.analyze(polars.scan_parquet(path))  # noqa: B023,E731
        tasks[f"units, {kind}: tea-tasting over DuckDB"] = timed(over_duckdb)
        tasks[f"units, {kind}: tea-tasting over Polars"] = timed(over_polars)
    for engine in ["duckdb", "polars"]:
        command = [sys.executable, "-c", WHOLE, path, engine]
        whole = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: B023,E731
        tasks[f"units, whole process: tea-tasting over {engine}"] = timed(whole, 3)
    result = plans["cuped"].analyze(connection.read_parquet(path))["spend"]
    answer = {"effect": float(result.effect_size), "p_value": float(result.pvalue)}
    return tasks, answer


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cells = grid()
    (folder / "grid.json").write_text(json.dumps({"sums": SUMS, "cells": cells}))
    units(folder / "units.parquet")
    seconds = gbstats_tasks(cells) | tea_tasting_tasks(cells) | boundary_tasks()
    unit_seconds, answer = unit_tasks(str(folder / "units.parquet"))
    print(json.dumps({"seconds": seconds | unit_seconds, "answer": answer}))


main()
