"""`python -m benchmarks.run NAME [--rows N]`: measure, print a table, write a result file."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import math
import pathlib
import sys
import tempfile
from dataclasses import asdict
from typing import Any

from benchmarks import (
    als,
    arima,
    automl,
    contribution,
    describe,
    dnn,
    explain,
    flat,
    kmeans,
    linear,
    logistic,
    pca,
    predict_linear,
    shell,
    startup,
    transform,
    trees,
    tuning,
)
from benchmarks.harness import (
    MARK,
    Benchmark,
    Median,
    Side,
    Task,
    machine,
    measure_here,
    measure_in_child,
    median_of,
    versions,
)

BENCHMARKS: dict[str, Benchmark] = {
    "linear": linear.BENCHMARK,
    "logistic": logistic.BENCHMARK,
    "kmeans": kmeans.BENCHMARK,
    "pca": pca.BENCHMARK,
    "flat": flat.BENCHMARK,
    "predict_linear": predict_linear.BENCHMARK,
    "shell": shell.BENCHMARK,
    "startup": startup.BENCHMARK,
    "dnn": dnn.BENCHMARK,
    "als": als.BENCHMARK,
    "items": als.ITEMS,
    "arima": arima.BENCHMARK,
    "transform": transform.BENCHMARK,
    "describe": describe.BENCHMARK,
    "trees": trees.BENCHMARK,
    "predict_trees": trees.PREDICT,
    "trees_limited": trees.LIMITED,
    "explain": explain.BENCHMARK,
    "contribution": contribution.BENCHMARK,
    "tuning": tuning.BENCHMARK,
    "automl": automl.BENCHMARK,
}
RESULTS = pathlib.Path(__file__).parent / "results"


def present(side: Side) -> bool:
    """Whether the library that a side measures is installed; if not, one line on stderr says so."""
    if side.needs is None or importlib.util.find_spec(side.needs):
        return True
    print(f"  {side.name}: not measured, the library {side.needs} is not installed", file=sys.stderr)
    return False


def measure(name: str, task: Task, repeat: int) -> list[Median]:
    """All sides of a benchmark, taking turns."""
    benchmark = BENCHMARKS[name]
    sides = [side for side in benchmark.sides(task.rows) if present(side)]
    for rows in sorted({side.rows or task.rows for side in sides}):
        benchmark.prepare(Task(rows, task.folder))
    measured: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for turn in range(repeat):
        for side in sides:
            measured[side.name].append(measure_in_child(name, side, task))
            print(
                f"  {turn + 1}/{repeat} {side.name}: {measured[side.name][-1]['seconds']:.3f} s",
                file=sys.stderr,
            )
    return [median_of(side, side.rows or task.rows, measured[side.name]) for side in sides]


def judge(benchmark: Benchmark, medians: list[Median]) -> list[dict[str, Any]]:
    """Every target with what was measured; not those that compare with a side that was left out."""
    table = {median.side: median for median in medians}
    left_out = {side.name for side in benchmark.sides(benchmark.rows)} - set(table)
    judged = []
    for target in benchmark.targets:
        try:
            value = target.measure(table)
        except KeyError as missing:
            if missing.args[0] not in left_out:
                raise
            continue
        judged.append({"target": target.text, "measured": value, "met": bool(target.holds(value))})
    return judged


def number(value: float) -> str:
    """Six significant digits; whole numbers whole."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:.6g}"


def show(benchmark: Benchmark, medians: list[Median], judged: list[dict[str, Any]]) -> None:
    """The readable table on stdout."""
    keys = list(dict.fromkeys(key for median in medians for key in median.quality))
    head = ["side", "rows", "seconds", "peak MB", "grown MB", *keys]
    lines = [
        [
            *(m.side, f"{m.rows:,}", f"{m.seconds:.4g}", f"{m.peak_mb:.0f}", f"{m.grown_mb:.0f}"),
            *(number(m.quality[key]) if key in m.quality else "" for key in keys),
        ]
        for m in medians
    ]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    print(benchmark.title)
    for line in [head, ["-" * width for width in widths], *lines]:
        print(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )
    for item in judged:
        print(f"{'met   ' if item['met'] else 'MISSED'}  {item['target']}: {number(item['measured'])}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--rows", type=int, help="rows of the training table (each benchmark has its own default)")
    parser.add_argument("--repeat", type=int, help="repetitions of each side (default 3)")
    parser.add_argument("--folder", type=pathlib.Path, help="where generated data is kept between runs")
    parser.add_argument("--no-save", action="store_true", help="do not write the result file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder or pathlib.Path(tempfile.gettempdir()) / "sqlml-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in BENCHMARKS if arguments.name == "all" else [arguments.name]:
        benchmark = BENCHMARKS[name]
        task = Task(arguments.rows or benchmark.rows, folder)
        if arguments.child:
            side = next(side for side in benchmark.sides(task.rows) if side.name == arguments.child)
            print(MARK + json.dumps(measure_here(side, Task(side.rows or task.rows, folder))))
            return
        medians = measure(name, task, arguments.repeat or benchmark.repeat)
        judged = judge(benchmark, medians)
        show(benchmark, medians, judged)
        if not arguments.no_save:
            RESULTS.mkdir(exist_ok=True)
            record = {
                "benchmark": name,
                "title": benchmark.title,
                "command": f"python -m benchmarks.run {name} --rows {task.rows}",
                "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "versions": versions(),
                "sides": [asdict(median) for median in medians],
                "targets": judged,
            }
            (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
