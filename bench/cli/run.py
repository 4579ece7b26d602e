"""`bench run`: plans the runs, does those that have no record yet, and shows all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import records
from bench.errors import BenchError, UsageError
from bench.plan import Spec, make_plan
from bench.records import Record

ABOUT = "train and score methods on tasks, and compare them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what to run and where to keep it."""
    _add_list(parser, "--methods", "NAME", "by commas or spaces; see `bench list methods`")
    _add_list(parser, "--tasks", "NAME", "by commas or spaces; see `bench list tasks`")
    parser.add_argument("--suite", default="mini", help="a name or a .toml file (default: %(default)s)")
    _add_list(parser, "--seeds", "N", "by commas or spaces (default: 0)")
    _add_list(parser, "--set", "KEY=VALUE", "as in cola.r=8, ave.epochs=2, train.batch_size=16, data.source=official")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where official releases lie, or generated data is to be kept"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--rerun", action="store_true", help="do runs again that have a record")


def main(args: argparse.Namespace) -> int:
    """Does what the command asks for; see `bench.cli` for the exit code."""
    seeds = _words(args.seeds) or ["0"]
    plan = make_plan(args.suite, _words(args.methods), _words(args.tasks), seeds, overrides=args.set)
    _check_data_root(plan, args.data_root)
    records.check_writable(args.results)
    done = {} if args.rerun else _finished(plan, args.results)
    failed_earlier = [record for record in done.values() if record.status == "failed"]
    todo = [spec for spec in plan if spec.id not in done]
    if not args.quiet:
        _introduce(plan, todo)
    interrupted = False
    try:
        for number, spec in enumerate(todo, start=1):
            record = done[spec.id] = _run(spec, args)
            if not args.quiet:
                print(f"[{number}/{len(todo)}] {_outcome(record)}", flush=True)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _conclude([done[spec.id] for spec in plan if spec.id in done], args.results)
    for record in failed_earlier:
        run = record.spec
        again = f"--rerun --methods {run['method']} --tasks {run['task']} --seeds {run['seed']}"
        print(f"{record.label} failed earlier and was skipped; to do it again: {again}", file=sys.stderr)
    if interrupted:
        same = "the same command without --rerun" if args.rerun else "the same command"
        print(f"stopped: {len(done)} of {len(plan)} runs finished; {same} goes on", file=sys.stderr)
    return int(interrupted or any(record.status == "failed" for record in done.values()))


def _add_list(parser: argparse.ArgumentParser, option: str, metavar: str, about: str) -> None:
    parser.add_argument(option, metavar=metavar, nargs="+", action="extend", default=[], help=about)


def _words(arguments: Sequence[str]) -> list[str]:
    """What was given by commas, spaces or both."""
    return [word for argument in arguments for word in argument.replace(",", " ").split()]


def _check_data_root(plan: Sequence[Spec], root: Path | None) -> None:
    if any(spec.data["source"] == "official" for spec in plan) and (root is None or not root.is_dir()):
        given = "is missing" if root is None else f"{root} is no folder"
        raise UsageError(f"data.source=official needs --data-root, the folder where the releases lie: {given}")


def _finished(plan: Sequence[Spec], results: Path) -> dict[str, Record]:
    """The records of those runs that have one, by id."""
    paths = {spec.id: records.find(results, spec) for spec in plan}
    return {id_: records.read(path) for id_, path in paths.items() if path}


def _introduce(plan: Sequence[Spec], todo: Sequence[Spec]) -> None:
    skipped = len(plan) - len(todo)
    runs = "1 run" if len(plan) == 1 else f"{len(plan)} runs"
    print(runs + (f", {skipped} of them finished earlier and skipped (--rerun does them again)" if skipped else ""))
    if plan[0].data["source"] == "generated":
        print(
            f"The data of suite {plan[0].suite} is generated, not the benchmarks' own; "
            "for official releases: --data-root DIR --set data.source=official"
        )
    sys.stdout.flush()


def _run(spec: Spec, args: argparse.Namespace) -> Record:
    """Does one run and keeps what it measured."""
    from bench.run import RunOptions, execute  # heavy: not needed where everything is finished

    record = execute(spec, RunOptions(data_root=args.data_root, device=args.device))
    try:
        records.write(record, args.results)
    except OSError as error:
        print(records.dumps(record), file=sys.stderr)
        raise BenchError(f"the record of {spec.label}, printed above, cannot be written: {error}") from error
    return record


def _outcome(record: Record) -> str:
    if record.scores is None:
        return f"{record.label} failed: {record.reason}"
    return f"{record.label}: {record.scores.metric} {record.scores.test[record.scores.metric]:.2f}"


def _conclude(finished: Sequence[Record], results: Path) -> None:
    """Shows the finished runs and brings the leaderboard up to date."""
    if finished:
        from bench.report import run_table, write_leaderboard

        leaderboard = write_leaderboard(results)
        print(f"\n{run_table(finished)}\n\nrecords: {results / records.FOLDER}\nleaderboard: {leaderboard}", flush=True)
