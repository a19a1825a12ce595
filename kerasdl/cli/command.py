"""The verbs of the command in the order of `kerasdl --help`, and its entry point."""

import errno
import inspect
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from kerasdl import words
from kerasdl.cli.audit import audit_run
from kerasdl.cli.auto import best_model
from kerasdl.cli.calibrate import calibrate_run
from kerasdl.cli.card import write_card
from kerasdl.cli.compare import compare_runs
from kerasdl.cli.compress import compress_run
from kerasdl.cli.doctor import check_installation
from kerasdl.cli.ensemble import average_runs
from kerasdl.cli.evaluate import evaluate_run
from kerasdl.cli.explain import explain_run
from kerasdl.cli.export import export_model
from kerasdl.cli.fields import show_fields
from kerasdl.cli.launch import launch_workers
from kerasdl.cli.list import list_recipes
from kerasdl.cli.paint import paint_image
from kerasdl.cli.photos import classify_photos
from kerasdl.cli.plan import plan_recipe
from kerasdl.cli.predict import predict_files
from kerasdl.cli.probe import probe_run
from kerasdl.cli.report import report_run
from kerasdl.cli.reproduce import reproduce_recipe
from kerasdl.cli.results import show_results
from kerasdl.cli.runs import best_run, list_runs
from kerasdl.cli.sample import sample_model
from kerasdl.cli.serve import serve_run
from kerasdl.cli.show import show_recipe
from kerasdl.cli.terminal import DEBUG, print_line, verbose
from kerasdl.cli.train import train_recipe
from kerasdl.cli.tune import run_search, tuning
from kerasdl.cli.weights import weights
from kerasdl.errors import UserError
from kerasdl.logs import on_stderr
from kerasdl.text import typed

VERBS: dict[str, Callable[..., None]] = {
    "list": list_recipes, "show": show_recipe, "fields": show_fields, "train": train_recipe, "eval": evaluate_run,
    "predict": predict_files, "auto": best_model, "photos": classify_photos, "sample": sample_model,
    "paint": paint_image, "report": report_run, "runs": list_runs, "best": best_run, "compare": compare_runs,
    "ensemble": average_runs, "export": export_model, "compress": compress_run, "probe": probe_run,
    "explain": explain_run, "audit": audit_run, "calibrate": calibrate_run, "card": write_card, "serve": serve_run,
    "results": show_results,
    "reproduce": reproduce_recipe, "launch": launch_workers, "plan": plan_recipe, "doctor": check_installation}
ELSEWHERE = {  # verbs of other tools: what to write instead
    "resume": "kerasdl train --resume RUN", "continue": "kerasdl train --resume RUN", "fit": "kerasdl train RECIPE",
    "run": "kerasdl train RECIPE", "evaluate": "kerasdl eval RUN", "test": "kerasdl eval RUN",
    "val": "kerasdl eval RUN --split val", "infer": "kerasdl predict RUN FILE...",
    "search": "kerasdl tune SEARCH", "sweep": "kerasdl tune SEARCH", "recipes": "kerasdl list",
    "models": "kerasdl fields MODEL, or kerasdl list for the recipes",
    "diff": "kerasdl compare RUN RUN...", "version": "kerasdl --version", "help": "kerasdl --help",
    "config": "kerasdl fields", "settings": "kerasdl fields", "check": "kerasdl doctor", "info": "kerasdl doctor"}
FLAGS = {"--debug", "--quiet", "-q"}  # may stand anywhere; kerasdl.cli.terminal reads them
SETTABLE = ("train", "show", "plan", "launch", "probe", "tune", "auto")  # verbs that take KEY=VALUE

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for verb, function in VERBS.items():
    app.command(verb)(function)
app.add_typer(tuning, name="tune")
app.add_typer(weights, name="weights")


@app.callback()
def kerasdl(version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
            quiet: Annotated[bool, typer.Option(
                "--quiet", "-q", help="log warnings only; works after any verb")] = False,
            debug: Annotated[bool, typer.Option("--debug", help="show tracebacks; works after any verb")] = False
            ) -> None:
    """Train, evaluate and reproduce Keras models."""


def main() -> None:
    """Run the command. A mistake becomes one line and exit code 2; Ctrl-C becomes exit code 130."""
    # TensorFlow turns oneDNN on by itself only for CPUs with AVX512-VNNI or newer; convolutions are slow without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # closed by who started the command: >&-
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file or folder need not be valid text
    arguments = addressed([argument for argument in sys.argv[1:] if argument not in FLAGS])
    try:
        if arguments[:1] == ["--version"]:
            from kerasdl import __version__

            return print_line(f"kerasdl {__version__}")
        check_words(arguments)
        with on_stderr(verbose()):
            code = app(arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except UserError as error:
        if DEBUG:
            raise
        fail(str(error), error.code)
    except OSError as error:  # a folder without permission, a name that is too long
        if DEBUG or not error.filename and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        fail(f"{error.filename or 'A file or the output cannot be read or written'}: {error.strerror}")
    except Exception as error:
        if not hasattr(error, "format_message"):  # which Typer's own have: a missing argument, an unknown option
            raise
        if message := " ".join(error.format_message().split()):  # none after a verb without arguments, whose help it is
            verb = next(iter(arguments[:1]), "")
            fail(f"{message.rstrip('.')}. See: kerasdl {f'{verb} ' * (not verb.startswith('-'))}--help")
        sys.exit(UserError.code)


def addressed(arguments: list[str]) -> list[str]:
    """Return the arguments with `--ray auto` where --ray has no address: an option of Typer cannot go without."""
    return [part for argument, after in zip(arguments, [*arguments[1:], "-"], strict=False)
            for part in ((argument, "auto") if argument == "--ray" and after.startswith("-") else (argument,))]


def check_words(arguments: list[str]) -> None:
    """Raise a UserError for a verb or an option that other tools have, with what to write here."""
    first, rest = (arguments or [""])[0], arguments[1:]
    if first in ELSEWHERE:
        instead = ELSEWHERE[first]
        if rest and not rest[0].startswith("-"):
            instead = instead.replace("RUN", typed(rest[0]), 1).replace("RECIPE", rest[0], 1)
        raise UserError(f"There is no verb {first!r}. Write: {instead}")
    if first not in SETTABLE:
        return
    known = options(VERBS.get(first, run_search))
    if all(argument.partition("=")[0] in known for argument in rest if argument.startswith("--")):
        return
    from kerasdl.recipe import Recipe

    for argument, after in zip(rest, [*rest[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if not argument.startswith("--") or name in known:
            continue
        if sentence := words.SENTENCES.get(words.plain(name)):
            raise UserError(f"{name} is no option. {sentence}")
        if key := words.key(name, Recipe.model_fields):
            value = value if equals else after if after and not after.startswith("-") else "VALUE"
            raise UserError(f"{name} is no option: a setting of the recipe is written KEY=VALUE. Write {key}={value}")


def options(function: Callable) -> set[str]:
    """Return the long options of a verb: "--no-report" next to "--report"."""
    found = {"--help"}
    for name, parameter in inspect.signature(function).parameters.items():
        info = parameter.annotation.__metadata__[0]  # in Annotated, Typer has a first spelling as the default
        if isinstance(info, typer.models.OptionInfo):
            spelt = [text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)]
            found |= {part for text in spelt or spellings(name, parameter.annotation) for part in text.split("/")}
    return {option for option in found if option.startswith("--")}


def spellings(name: str, annotation: Any) -> list[str]:
    """Return the options that Typer makes of a parameter's name: two of a flag."""
    option = name.replace("_", "-")
    return [f"--{option}", *[f"--no-{option}"] * (annotation.__origin__ is bool)]


def fail(message: str, code: int = UserError.code) -> None:
    print(f"kerasdl: {message}", file=sys.stderr)
    sys.exit(code)
