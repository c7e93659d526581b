"""The command ``wsgate``.

Exit status: 0 done, 1 it failed while running, 2 it was told something wrong. What only one
command needs is imported there, so that ``wsgate --version`` and completion are quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from wsgate.settings.reading import Loaded

EXIT_FAILED: Final = 1
EXIT_MISUSED: Final = 2

app = typer.Typer(
    name="wsgate",
    help="A WebSocket gateway: events in from NATS, one shared frame out to every subscriber.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


class Trouble(Exception):
    """What ends a command, in words for whoever typed it."""

    def __init__(self, text: str, exit_status: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.exit_status = exit_status


def main() -> None:
    """The console script: every failure is a sentence; with ``--debug`` a traceback too."""
    # Before Typer has parsed anything, or its own failures would escape this.
    debug = "--debug" in sys.argv[1:]
    try:
        app(prog_name="wsgate")
    except Exception as error:
        if debug:
            raise
        typer.echo(f"wsgate: {_words(error)}", err=True)
        raise SystemExit(getattr(error, "exit_status", EXIT_FAILED)) from None


def _words(error: Exception) -> str:
    if isinstance(error, Trouble):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror}"
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"wsgate {version('wsgate')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails.")
    ] = False,
) -> None:
    pass


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="WS_CONFIG",
        metavar="FILE",
        help="A TOML file with settings; those of the environment go before it.",
        show_default=False,
    ),
]


def _load(config: Path | None) -> Loaded:
    from wsgate.settings.reading import ConfigError, load
    from wsgate.settings.report import in_words

    try:
        return load(config)
    except ConfigError as error:
        text = f"cannot start with these settings:{in_words(error)}"
        raise Trouble(text, EXIT_MISUSED) from None


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Settings come from the environment, and from a file if there is one. `wsgate check-config` shows
    them all.
    """
    import asyncio

    from wsgate import log

    loaded = _load(config)
    log.configure(loaded.settings.log_level, loaded.settings.log_format)

    from wsgate.supervisor.run import run

    raise typer.Exit(asyncio.run(run(loaded)))


@app.command()
def aggregate(config: ConfigFile = None) -> None:
    """Republish what backends publish on raw subjects, as much of it as browsers need.

    State at most once in WS_AGGREGATE_WINDOW_MS, events all; until SIGTERM or Ctrl-C.
    """
    import uvloop

    from wsgate import log

    loaded = _load(config)
    blueprint = loaded.settings.aggregation()
    if blueprint is None:
        text = "WS_AGGREGATE_FROM is not set: say what raw subjects begin with, such as raw"
        raise Trouble(text, EXIT_MISUSED)
    log.configure(loaded.settings.log_level, loaded.settings.log_format)

    from wsgate.aggregate.run import run

    raise typer.Exit(uvloop.run(run(loaded, blueprint)))


@app.command()
def check_config(
    config: ConfigFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say all that is wrong with the settings, or show them all, and start nothing.

    Each is shown with where it comes from: default, environment or file. Secrets are masked.
    """
    from wsgate.settings import report

    if json:
        raise typer.Exit(_check_for_machines(config))
    for line in report.lines(_load(config)):
        typer.echo(line)


def _check_for_machines(config: Path | None) -> int:
    from json import dumps  # unlike orjson, it can write what is no text

    from wsgate.settings import reading, report

    outcome: reading.Loaded | reading.ConfigError
    try:
        outcome = reading.load(config)
    except reading.ConfigError as error:
        outcome = error
    typer.echo(dumps(report.document(outcome), indent=2))
    return EXIT_MISUSED if isinstance(outcome, reading.ConfigError) else 0


config_app = typer.Typer(name="config", help="Print what there is to set.", no_args_is_help=True)
app.add_typer(config_app)


@config_app.command("docs")
def config_docs() -> None:
    """Print all settings as a table in Markdown."""
    from wsgate.settings import pages

    typer.echo("\n".join(pages.table()))


@config_app.command("env")
def config_env() -> None:
    """Print a .env file to begin with: all settings, commented out, with their defaults."""
    from wsgate.settings import pages

    typer.echo("\n".join(pages.example()))


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The gateway's port; 0: any free one.")] = 3002,
    admin_port: Annotated[int, typer.Option(help="Its port for health and metrics.")] = 3003,
    page_port: Annotated[int, typer.Option(help="Where the page is served.")] = 8080,
    rate: Annotated[float, typer.Option(help="Trades a second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Do without a NATS server.")
    ] = False,
) -> None:
    """Show the whole path: NATS, a made-up token market, the gateway, and a live page."""
    from wsgate.tools.demo.run import run_demo

    raise typer.Exit(
        run_demo(
            host=host,
            port=port,
            admin_port=admin_port,
            page_port=page_port,
            rate=rate,
            seed=seed,
            in_process=in_process,
        )
    )


@app.command(
    # Its options are its own affair, so that it can do without this module: see __main__.py.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def healthcheck(context: typer.Context) -> None:
    """Ask the gateway of these settings whether it works: for containers. --help has options."""
    from wsgate.tools import healthcheck

    raise typer.Exit(healthcheck.healthcheck(context.args))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is wrong with this machine and these settings, and what mends it.

    Exit status 1 if there is a problem, 0 if there are warnings at most.
    """
    from wsgate.tools.doctor.run import run_doctor

    raise typer.Exit(run_doctor(json=as_json))


@app.command()
def top(
    url: Annotated[
        str, typer.Option(help="The admin port; else what WS_HOST and WS_ADMIN_PORT say.")
    ] = "",
    interval: Annotated[float, typer.Option(help="Seconds that rates are over.", min=0.1)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print figures once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and end.")
    ] = False,
) -> None:
    """Watch a running gateway: clients, messages, backlog, each worker. Ctrl-C ends it."""
    import os

    from wsgate.tools.admin_port import AddressUnknown, AdminPort, Unreachable
    from wsgate.tools.top import run

    try:
        admin_port = AdminPort.of_url(url) if url else AdminPort.of_environment(os.environ)
    except AddressUnknown as error:
        raise Trouble(str(error), EXIT_MISUSED) from None
    if not (once or as_json or sys.stdout.isatty()):
        raise Trouble("this is no terminal: use --once or --json", EXIT_MISUSED)
    show = run.print_json if as_json else run.print_once if once else run.run_live
    try:
        show(admin_port, interval)
    except Unreachable as error:
        raise Trouble(f"{error}; is a gateway running there? See --url") from None
