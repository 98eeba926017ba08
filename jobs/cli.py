"""The command line: one command a verb; every command is described in docs/commands.md."""

import contextlib
import errno
import gc
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from polars.exceptions import PanicException
from rich.console import Console

from graphguard.config.load import load_config, parse_day
from graphguard.config.sections import Config
from graphguard.errors import Exit, GraphGuardError
from graphguard.jobs import commands, runs
from graphguard.jobs.backfill import Backfill, run_backfill
from graphguard.jobs.nightly import Night, run_night, stop_on_terminate
from graphguard.jobs.pipeline import PIPELINE, STAGE_NAMES
from graphguard.jobs.progress import reporting

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Finds abusive users and coordinated rings in a platform's logs.",
)
check_app = typer.Typer(no_args_is_help=True, help="Prove what the design promises.")
runs_app = typer.Typer(no_args_is_help=True, help="Look at the runs of a workspace.")
app.add_typer(check_app, name="check")
app.add_typer(runs_app, name="runs")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="Config file.", envvar="GRAPHGUARD_CONFIG")
]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="The cutoff day, UTC; overrides the config's.")
]
JsonLogs = Annotated[bool, typer.Option("--json-logs", help="Progress as JSON lines on stderr.")]
JsonOut = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UsersOption = Annotated[
    list[Path] | None, typer.Option("--users", help="File of ids: one a line, or Parquet.")
]
UserOption = Annotated[list[str] | None, typer.Option("--user", help="An id; may be repeated.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", help="Entity type of the ids; the training target if none.")
]
DEFAULT_CONFIG = Path("graphguard.yaml")
TURN_S = 5e-4
"""How long a thread may keep the interpreter that others wait for; Python's own 5 ms are as long as
the calls that a night's threads come back from."""


GOES_ON = "the same command goes on where it stopped"
NO_ROOM = f"make room on the disk of the workspace, or on that of temporary files; {GOES_ON}"
NOT_ALLOWED = f"see who may write there, and whether the disk is mounted to be written; {GOES_ON}"
REMEDIES = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EROFS: NOT_ALLOWED,
    errno.EMFILE: f"allow more open files (ulimit -n); {GOES_ON}",
}
"""What to do about errors of the system that trying again does not help."""


def main() -> None:
    """Run the command line; every foreseen error ends in one message and its exit code."""
    # What was imported stays to the end: no collection, least of all the last, need go over it.
    gc.freeze()
    sys.setswitchinterval(TURN_S)
    stop_on_terminate()
    console = Console(stderr=True)
    try:
        app(standalone_mode=False)
    except GraphGuardError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(int(error.exit_code))
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        console.print(f"interrupted; {GOES_ON}", style="yellow")
        sys.exit(int(Exit.INTERRUPTED))
    except _usage_error() as error:
        error.show()
        sys.exit(int(Exit.CONFIG))
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "try again")
        console.print(f"error: {error}; {remedy}", style="red", markup=False, soft_wrap=True)
        sys.exit(int(Exit.TRANSIENT))
    # The last line of defence: a bug gets its traceback and code. A panic is no Exception.
    except (Exception, PanicException):  # noqa: BLE001
        console.print_exception()
        sys.exit(int(Exit.BUG))


def _usage_error() -> Any:
    """Typer's error for wrong words on the command line, from whichever click it carries."""
    return next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


@app.command()
def world(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    users: Annotated[int, typer.Option(help="Number of users.")] = 20000,
    days: Annotated[int, typer.Option(help="Days of logs.")] = 70,
    seed: Annotated[int, typer.Option(help="Seed: the same seed gives the same bytes.")] = 7,
    json_logs: JsonLogs = False,
) -> None:
    """Write the logs of a made-up platform, with abuse in it and the truth beside it."""
    with reporting(json_logs=json_logs) as reporter:
        print_line(commands.make_world(out, users, days, seed, reporter))


@app.command()
def nightly(
    config: ConfigOption = DEFAULT_CONFIG,
    as_of: AsOfOption = None,
    first: Annotated[str, typer.Option("--from", help="First stage.")] = STAGE_NAMES[0],
    last: Annotated[str, typer.Option("--to", help="Last stage.")] = STAGE_NAMES[-1],
    run_id: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Export nothing; show what would change.")
    ] = False,
    json_logs: JsonLogs = False,
) -> None:
    """Run a night: from logs to scores, rings, decisions and a report."""
    settings = load_config(config, as_of=as_of)
    with reporting(json_logs=json_logs) as reporter:
        night = Night(settings, first, last, run_id, dry_run, reporter)
        run = run_night(night)
    if dry_run:
        print_line(commands.dry_run_text(run, settings))
    print_line(str(run.folder / "run.json"))


@app.command()
def backfill(
    since: Annotated[str, typer.Option(help="First cutoff day, UTC.")],
    until: Annotated[str, typer.Option(help="Last cutoff day, UTC.")],
    config: ConfigOption = DEFAULT_CONFIG,
    jobs: Annotated[int, typer.Option(min=1, help="Nights prepared at the same time.")] = 1,
    json_logs: JsonLogs = False,
) -> None:
    """Run the nights of many days: what nightly does day by day, with what can be in parallel."""
    first, last = parse_day(since, "--since"), parse_day(until, "--until")
    with reporting(json_logs=json_logs) as reporter:
        done = run_backfill(Backfill(load_config(config), first, last, jobs, reporter))
    for run in done:
        print_line(str(run.folder / "run.json"))


def _stage_command(name: str, does: str) -> None:
    def command(
        config: ConfigOption = DEFAULT_CONFIG, as_of: AsOfOption = None, json_logs: JsonLogs = False
    ) -> None:
        with reporting(json_logs=json_logs) as reporter:
            night = Night(load_config(config, as_of=as_of), name, name, reporter=reporter)
            run = run_night(night)
        print_line(str(run.stage(name) / "manifest.json"))

    command.__doc__ = f"{does}\n\nOne stage of a night; those before it must be done."
    app.command(name.replace("_", "-"))(command)


for _stage in PIPELINE:
    if _stage.name != "report":
        _stage_command(_stage.name, _stage.does)


@app.command()
def expand(
    seeds: Annotated[list[str], typer.Argument(help="Users to start from, as `user:ID`.")],
    config: ConfigOption = DEFAULT_CONFIG,
    hops: Annotated[int, typer.Option(min=1, max=6, help="Users away from a seed.")] = 2,
    limit: Annotated[int, typer.Option(min=1, help="Users to list.")] = 20,
    run: Annotated[Path | None, typer.Option(help="Run or workspace folder.")] = None,
    as_json: JsonOut = False,
) -> None:
    """List the users nearest to a seed, with the path and evidence that brought each in."""
    with _opened(config, run) as opened:
        found = opened.expand(seeds, hops=hops, limit=limit)
        commands.show_expansion(found, as_json=as_json)


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="The user, as `user:ID`.")],
    config: ConfigOption = DEFAULT_CONFIG,
    run: Annotated[Path | None, typer.Option(help="Run or workspace folder.")] = None,
    as_json: JsonOut = False,
) -> None:
    """Say what is known about a user: score, reasons, ring, shared objects, timeline."""
    with _opened(config, run) as opened:
        commands.show_explanation(opened.explain(user), as_json=as_json)


@app.command()
def counterfactual(
    user: Annotated[str, typer.Argument(help="The user, as `user:ID`.")],
    without: Annotated[
        list[str] | None,
        typer.Option(help="Object as `TYPE:ID`, or `TYPE` for all of a type; may be repeated."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    run: Annotated[Path | None, typer.Option(help="Run or workspace folder.")] = None,
    as_json: JsonOut = False,
    json_logs: JsonLogs = False,
) -> None:
    """Say what a user's risk would be without evidence: the same features and model, once more."""
    with reporting(json_logs=json_logs) as reporter:
        found = commands.counterfactual(load_config(config), run, user, without or [], reporter)
    commands.show_counterfactual(found, as_json=as_json)


@app.command()
def propagate(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    config: ConfigOption = DEFAULT_CONFIG,
    run: Annotated[Path | None, typer.Option(help="Run or workspace folder.")] = None,
    hops: Annotated[int, typer.Option(min=1, max=6, help="Most steps of a metapath.")] = 2,
) -> None:
    """Write what lies around every user, some hops away, as matrices to be mapped."""
    print_line(commands.propagate(load_config(config), run, hops, out))


@contextlib.contextmanager
def _opened(config: Path, run: Path | None) -> Iterator[Any]:
    from graphguard.investigate.run import open_run

    if run is None:
        settings = load_config(config)
        run = settings.workspace_folder
    yield open_run(run)


@app.command()
def init(
    logs: Annotated[
        list[str], typer.Argument(help="Logs as NAME=PATH of a Parquet file or folder.")
    ],
    labels: Annotated[Path | None, typer.Option(help="File with decisions.")] = None,
    out: Annotated[Path, typer.Option(help="Config file to write.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
) -> None:
    """Write a config from the columns of your logs; read it over before you use it."""
    print_line(commands.init_config(logs, labels, out, force=force))


@app.command()
def validate(
    config: Annotated[Path, typer.Argument(help="Config file.")], as_of: AsOfOption = None
) -> None:
    """Check a config, and the files and columns it names, before any work."""
    print_line(commands.validate_config(load_config(config, as_of=as_of)))


@app.command()
def plan(config: ConfigOption = DEFAULT_CONFIG, as_of: AsOfOption = None) -> None:
    """Tell rows, memory and time to expect; refuse what will not fit."""
    commands.show_plan(_dated(config, as_of))


@app.command()
def settings(
    write: Annotated[Path | None, typer.Option(help="Document to bring up to date.")] = None,
) -> None:
    """Print the reference of every setting, or bring a document up to date with it."""
    print_line(commands.settings_reference(write))


@check_app.command("leakage")
def check_leakage(config: ConfigOption = DEFAULT_CONFIG, as_of: AsOfOption = None) -> None:
    """Run twice, the second time with all rows from the cutoff on rewritten; compare every bit."""
    print_line(commands.check_leakage(_dated(config, as_of)))


@check_app.command("anchors")
def check_anchors(config: ConfigOption = DEFAULT_CONFIG, as_of: AsOfOption = None) -> None:
    """Run up to a past anchor and beyond it; compare the rows of that anchor by key."""
    print_line(commands.check_anchors(_dated(config, as_of)))


@check_app.command("future")
def check_future(
    config: ConfigOption = DEFAULT_CONFIG,
    as_of: AsOfOption = None,
    deals: Annotated[int, typer.Option(min=1, help="How often futures are dealt anew.")] = 3,
) -> None:
    """Deal users' futures by lot from a past anchor on; no model may foresee them."""
    print_line(commands.check_future(_dated(config, as_of), deals))


@check_app.command("incremental")
def check_incremental(
    config: ConfigOption = DEFAULT_CONFIG,
    as_of: AsOfOption = None,
    nights: Annotated[int, typer.Option(min=2, help="Nights to run one after the other.")] = 7,
) -> None:
    """Run several nights one by one and one rebuild; compare every table row by row."""
    print_line(commands.check_incremental(_dated(config, as_of), nights))


@check_app.command("evidence")
def check_evidence(
    config: ConfigOption = DEFAULT_CONFIG,
    run: Annotated[Path | None, typer.Option(help="Run or workspace folder.")] = None,
) -> None:
    """Recompute every number of a night's rings from the acts that are shown for them."""
    print_line(commands.check_evidence(load_config(config), run))


@check_app.command("erasure")
def check_erasure(
    config: ConfigOption = DEFAULT_CONFIG,
    users: UsersOption = None,
    user: UserOption = None,
    kind: TypeOption = None,
) -> None:
    """Decode every file of workspace and sinks, and look for traces of erased users."""
    print_line(commands.check_erasure(load_config(config), kind, users or [], user or []))


@runs_app.command("list")
def runs_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOut = False) -> None:
    """List the workspace's runs."""
    runs.list_runs(load_config(config), as_json=as_json)


@runs_app.command("diff")
def runs_diff(
    before: Annotated[str, typer.Argument(help="Run id.")],
    after: Annotated[str, typer.Argument(help="Run id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOut = False,
) -> None:
    """Compare two runs: settings, rows, quality, rings and decisions."""
    runs.diff_runs(load_config(config), before, after, as_json=as_json)


@runs_app.command("report")
def runs_report(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the path of the newest run's report."""
    print_line(commands.report_path(load_config(config)))


@app.command()
def erase(
    config: ConfigOption = DEFAULT_CONFIG,
    users: UsersOption = None,
    user: UserOption = None,
    kind: TypeOption = None,
    json_logs: JsonLogs = False,
) -> None:
    """Erase users from all days, all runs and the sinks, and keep them from coming back."""
    settings = load_config(config)
    with reporting(json_logs=json_logs) as reporter:
        text = commands.erase(settings, kind, (users or [], user or []), reporter)
    print_line(text)


@app.command()
def rollback(
    run_id: Annotated[str, typer.Argument(help="Run whose export is taken back.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Restore what the sinks held before a run exported to them."""
    print_line(commands.roll_back(load_config(config), run_id))


def print_line(text: str) -> None:
    """Write a result to stdout; progress and errors go to stderr."""
    sys.stdout.write(text + "\n")


def _dated(config: Path, as_of: str | None) -> Config:
    day: date | None = parse_day(as_of, "--as-of") if as_of else None
    return load_config(config, as_of=day)
