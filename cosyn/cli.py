"""The `cosyn` command: the list of verbs, and what happens to errors."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from cosyn import __version__
from cosyn.commands import bench, compile, doctor, estimate, eval, inspect, recipes, run, targets, tune, verify
from cosyn.console import Console
from cosyn.errors import CommandError, Failure, describe
from cosyn.interruption import Interruption
from cosyn.ir.errors import REQUEST_WRONG
from cosyn.suggest import did_you_mean

VERBS = {
    "compile": compile,
    "run": run,
    "eval": eval,
    "bench": bench,
    "tune": tune,
    "verify": verify,
    "inspect": inspect,
    "estimate": estimate,
    "targets": targets,
    "recipes": recipes,
    "doctor": doctor,
}
"""Verb → its module: `command` is the function that typer reads, `EXAMPLES` the end of its help."""

_VERBOSE = {"-v", "-vv", "--verbose"}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cosyn {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile a language model for the chip you have, or the chip you are designing.

    `cosyn VERB --help` explains a verb, with three worked examples.
    """


def build_app() -> typer.Typer:
    """The typer application with every verb."""
    # Plain help text reads the same on a terminal, in a pipe and in the documentation.
    app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=False)
    app.callback()(_root)
    for name, module in VERBS.items():
        app.command(name, epilog=module.EXAMPLES)(module.command)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code: 0 done, 1 the work failed, 2 the request was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _prepare_streams()
    console = Console(as_json="--json" in words)
    with Interruption() as interruption:
        return _run(words, console, interruption)


def _run(words: Sequence[str], console: Console, interruption: Interruption) -> int:
    try:
        _check_verb(words)
        outcome = build_app()(words, standalone_mode=False, prog_name="cosyn")
    except typer.TyperException as error:
        return _report(console, _usage_failure(error, words))
    except BrokenPipeError:
        # The reader of a pipe left (`cosyn … | head`): nothing to report, and nobody to report it to.
        _discard_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if _VERBOSE & set(words):
            traceback.print_exc()
        return _report(console, describe(KeyboardInterrupt() if interruption.seen else error))
    # Typer turns an interruption into this code before anything here can see it.
    if outcome == 130:
        return _report(console, describe(KeyboardInterrupt()))
    return outcome if isinstance(outcome, int) else 0


def _prepare_streams() -> None:
    """Let text reach any terminal or file, with escapes for what its encoding lacks, and a closed stdout be silent."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_verb(words: Sequence[str]) -> None:
    verb = words[0] if words else ""
    if verb and not verb.startswith("-") and verb not in VERBS:
        raise CommandError(f"unknown verb {verb!r}; verbs: {', '.join(VERBS)}", did_you_mean(verb, VERBS))


def _usage_failure(error: typer.TyperException, words: Sequence[str]) -> Failure:
    message, _, possible = error.format_message().strip().rstrip(".)").partition(" (Possible options: ")
    meant = f"did you mean {possible.replace(', ', ' or ')}? " if possible else ""
    verb = f" {words[0]}" if words[0] in VERBS else ""
    return Failure(message[:1].lower() + message[1:], f"{meant}see: cosyn{verb} --help", REQUEST_WRONG)


def _discard_stdout() -> None:
    """Let what is still buffered for stdout go nowhere: Python would complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(console: Console, failure: Failure) -> int:
    console.failure(failure)
    return failure.exit_code
