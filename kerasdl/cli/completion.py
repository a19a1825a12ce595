"""What the Tab key offers. It imports little but Python's own library: Typer would take longer than a person waits.

`kerasdl --install-completion` puts Typer's script into the shell's configuration, which asks through variables of the
environment; this answers in its place. A test compares the table of verbs and options with the verbs themselves.
"""

import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
DEPTH = 4  # folders below runs/ that are searched
ASKED = "_KERASDL_COMPLETE"  # the variable that says which shell asks
EVERYWHERE = "--help --json"
OPTIONS = {  # of each verb; all but launch have EVERYWHERE
    "list": "", "show": "--all --python", "fields": "",
    "train": "--backend --checkpoint-every --feed --init --logical-cpus --no-report --profile --ray --report --resume "
             "--seeds --strategy --workdir --workers",
    "eval": "--data --split --tta", "predict": "--out --resize --skip-bad --top --unknown-category",
    "auto": "--max-kb --minutes --no-report --objective --ray --report --resume --seed --workdir --workers",
    "photos": "--group --minutes --no-report --report --seed --weights --workdir",
    "paint": "--mask --out --truth",
    "sample": "--class --n --out --prompt --seed --temperature --tokens --top-k --top-p", "report": "",
    "runs": "--show --sort --where", "best": "--by --where", "compare": "--no-report --out --report",
    "ensemble": "--out --split --workdir", "export": "--format --model --names --out --quantize --tolerance",
    "compress": "--epochs --latency --no-report --report --to",
    "audit": "--group --no-report --only --quick --report --seed --shadows", "calibrate": "--workdir",
    "probe": "--data --finetune --labels --no-finetune --no-report --recipe --report --seed --steps",
    "explain": "--check --class --examples --layer --method --mistakes --no-planted --no-report --out --planted "
               "--report --resize --sample --seed",
    "card": "--dry-run --licence --license --out --public --push",
    "serve": "--batch --file --host --max-examples --max-mb --max-megapixels --port --resize --threads --timeout "
             "--unknown-category --wait-ms",
    "results": "",
    "reproduce": "--backend --seeds --workdir",
    "launch": "--checkpoint-every --no-report --report --workdir --workers",
    "plan": "--backend --batch --largest --no-largest --on --price", "doctor": "--clear",
    "tune run": "--backend --checkpoint-every --cost --limit --logical-cpus --memory --minutes --no-report --oracle "
                "--ray --report --resume --seed "
                "--strategy --timeout --trials --workdir --workers",
    "weights list": "", "weights get": "", "weights import": "--arg --classes --image-size --model --out",
    "tune list": "", "tune rank": "--by --candidates --limit --out --seed",
    "tune report": "", "tune best": "--backend --ray --seeds --workers"}


def answer() -> None:
    """Print what may stand at the cursor, in the form that the shell wants."""
    shell = os.environ[ASKED].removeprefix("complete_")
    if shell == "bash":
        words, cursor = split(os.environ.get("COMP_WORDS", "")), int(os.environ.get("COMP_CWORD", "1"))
        before, typed = words[1:cursor], words[cursor] if cursor < len(words) else ""
    else:
        line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
        before, typed = split(line)[1:], ""
        if before and not line.endswith(" "):
            typed = before.pop()
    found = offers(before, typed)
    if shell == "zsh":
        quoted = " ".join('"' + re.sub(r'(["$`\\:])', r"\\\1", word) + '"' for word in found)
        print(f"_arguments '*: :(({quoted}))'" if found else "_files")
    elif os.environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        raise SystemExit(0 if found else 1)
    elif found:
        print("\n".join(found))


def offers(before: list[str], typed: str) -> list[str]:
    """Return the words that begin with what was typed, after the words before it."""
    verb, rest = (before or [""])[0], before[1:]
    if not before:
        verbs = dict.fromkeys(name.partition(" ")[0] for name in OPTIONS)
        return matching([*verbs, "--version", "--help"], typed)
    if below := [name.partition(" ")[2] for name in OPTIONS if name.startswith(f"{verb} ")]:
        if not rest:
            return matching([*below, *(searches(typed) if verb == "tune" else ())], typed)
        verb, rest = (f"{verb} {rest[0]}", rest[1:]) if rest[0] in below else ("tune run", rest)
    if typed.startswith("-"):
        return matching(f"{OPTIONS.get(verb, '')} {EVERYWHERE} --quiet --debug".split(), typed)
    if before[-1] in ("--init", "--resume"):
        verb = "tune report" if verb == "tune run" else "train --init"
    source = SOURCES.get(verb)
    return matching(source(rest, typed), typed) if source else []


def recipes(rest: list[str], typed: str) -> list[str]:
    """Return recipes and files of Python; after the first word, the fields of a recipe."""
    if [word for word in rest if not word.startswith("-")]:
        return [f"{name}=" for name in field_names()]
    return [*modules(PACKAGE / "recipes"), *files(typed)]


def runs(rest: list[str], typed: str) -> list[str]:
    """Return the folders of runs below runs/, or below the folder that was typed so far."""
    return [str(path) for path in holding(start(typed), "recipe.json", DEPTH)]


def studies(rest: list[str], typed: str) -> list[str]:
    """Return the folders of searches."""
    return [str(path) for path in holding(start(typed), "search.json", DEPTH)]


def searches(typed: str) -> list[str]:
    """Return the searches of the package and files of Python."""
    return [*modules(PACKAGE / "tuning" / "searches"), *files(typed)]


SOURCES: dict[str, Callable[[list[str], str], list[str]]] = {
    **dict.fromkeys(("train", "show", "plan", "launch", "reproduce", "tune run"), recipes),
    **dict.fromkeys(("eval", "predict", "sample", "paint", "report", "compare", "ensemble", "export", "compress",
                     "probe", "explain", "audit", "calibrate", "card", "serve", "train --init"), runs),
    **dict.fromkeys(("tune report", "tune best"), studies),
    "fields": lambda rest, typed: [*field_names(), "sgd", "adamw", "muon", *modules(PACKAGE / "objectives"),
                                   *modules(PACKAGE / "zoo")]}


def split(line: str) -> list[str]:
    """Return the words of a line that may end within quotes."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def matching(words: list[str], typed: str) -> list[str]:
    return list(dict.fromkeys(word for word in words if word.startswith(typed)))


def modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def files(typed: str) -> list[str]:
    """The files of Python in the folder that was typed so far."""
    home = typed.rpartition("/")[0]
    return sorted(os.path.join(home, entry.name) for entry in entries(Path(home or ".")) if entry.name.endswith(".py"))


def field_names() -> list[str]:
    """The fields of Recipe, read from its source: importing pydantic would take longer than a person waits."""
    source = (PACKAGE / "recipe.py").read_text(encoding="utf-8")
    own = source.partition("class Recipe(")[2].partition("@model_validator")[0]
    return re.findall(r"^    (\w+): (?!.*ConfigDict)", own, re.M)


def start(typed: str) -> Path:
    """The folder to search: as far as it was typed, or runs/."""
    return Path(typed.rpartition("/")[0] or "runs")


def holding(folder: Path, name: str, depth: int) -> Iterator[Path]:
    """The folders at or below one that hold a file of this name, the newest first."""
    if (folder / name).is_file():
        yield folder
        return
    if depth:
        for entry in sorted(entries(folder), key=lambda entry: -entry.stat(follow_symlinks=False).st_mtime):
            if os.path.isdir(entry.path) and not entry.name.startswith("."):
                yield from holding(Path(entry.path), name, depth - 1)


def entries(folder: Path) -> list[os.DirEntry]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []
