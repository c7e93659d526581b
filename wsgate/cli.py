"""The command ``wsgate``.

Exit status: 0 done, 1 it failed while running, 2 it was told something wrong. What only one
command needs is imported there, so that ``wsgate --version`` and completion are quick.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Final

import typer

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
        return error.strerror
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _print_version(wanted: bool) -> None:
    if wanted:
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


@app.command()
def serve() -> None:
    """Run the gateway until SIGTERM or Ctrl-C. Settings come from the environment.

    They are listed, with their defaults, in docs/configuration.md.
    """
    import asyncio

    import structlog

    from wsgate import config, descriptors, log

    try:
        settings = config.load()
    except config.ConfigError as error:
        lines = "".join(f"\n  {problem}" for problem in error.problems)
        raise Trouble(f"cannot start with these settings:{lines}", EXIT_MISUSED) from None
    log.configure(settings.log_level, settings.log_format)
    events = structlog.get_logger("wsgate.cli")
    for variable, meant in config.unknown():
        hint = {"did_you_mean": meant} if meant else {}
        events.warning("unknown setting ignored", setting=variable, **hint)
    for subject in settings.subjects_without_rule():
        events.warning("no rule in WS_RULES matches this subject", nats_subject=subject)
    allowed = descriptors.allow(settings.ws_max_connections, settings.ws_max_handshakes)
    if allowed is not None:
        events.warning(
            "the limit of open files (ulimit -n) is too low for WS_MAX_CONNECTIONS and"
            " WS_MAX_HANDSHAKES together",
            connections_allowed=allowed,
            ws_max_connections=settings.ws_max_connections,
            ws_max_handshakes=settings.ws_max_handshakes,
        )

    from wsgate.supervisor.run import run

    raise typer.Exit(asyncio.run(run(settings)))


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
