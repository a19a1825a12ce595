"""A run as a repository on Hugging Face, in one commit."""

import html
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.hub import files, paths
from kerasdl.run import NOTES, Run

CARD = "README.md"


def contents(run: Run, card: str) -> dict[str, Path | bytes]:
    """Return {name in the repository: file or bytes}: the card, and the run's files.

    data.json goes without the folder in which the training ran.

    Raises:
        UserError: the run, a member of it or what it began with was trained privately, or it cannot be known of one.
    """
    facts = json.loads((run.path / "data.json").read_text(encoding="utf-8"))
    if run.holds_private or any(map(partial(was_private, folder=facts.get("folder")), earlier(run))):
        raise UserError(f"{run.path} was trained privately, and its files name the seed: whoever knows it can subtract "
                        "the noise. Share the exported file alone: kerasdl export RUN --format onnx.")
    kept = {key: value for key, value in facts.items() if key not in NOTES or key == "remarks"}
    return {CARD: card.encode(), **files.shared(run), "data.json": (json.dumps(kept, indent=2) + "\n").encode()}


def earlier(run: Run) -> list[str]:
    """Return the runs whose weights a run has, and of which it does not say whether they were trained privately."""
    members = [member["run"] for member in run.result.get("members", ()) if "private" not in member]
    begun = run.result.get("init") or {}
    return members + ([begun["init"]] if "recipe" in begun and "private" not in begun else [])


def was_private(name: str, folder: str | None) -> bool:
    """Return whether a run was trained privately, which is here or was next to the training in `folder`.

    Raises:
        UserError: it is not there any more.
    """
    for path in (Path(name).expanduser(), Path(folder or "", name)):
        if (path / "recipe.json").is_file():
            return Run(path).holds_private
    raise UserError(f"{name}, whose weights this run has, is not there, so that nobody knows whether it was trained "
                    "privately. Call the command where it is, or share the exported file alone.")


def places(run: Run, given: Mapping[str, Path | bytes]) -> list[str]:
    """Return which of the text files name a folder of this machine: the home, the run's, that of its training, or one
    of its recipe."""
    folders = {str(Path.home()), str(run.path.resolve().parent), str(run.data.get("folder") or "")} - {"", "/"}
    folders |= {folder for folder in paths.folders(run.recipe) if folder.startswith(("/", "~"))}
    written = {re.escape(form) for folder in folders for form in (
        folder, html.escape(folder), *(json.dumps(folder, ensure_ascii=ascii)[1:-1] for ascii in (True, False)))}
    before = r"(?:(?<![\w.])|(?<=\\[nrt]))"  # the latter is a newline in JSON
    named = re.compile(rf"{before}(?:{'|'.join(sorted(written))})(?!\w)")
    return [name for name, held in given.items() if Path(name).suffix in (".json", ".html", ".csv", ".md", ".py")
            and named.search(text(held))]


def text(held: Path | bytes) -> str:
    return held.decode() if isinstance(held, bytes) else held.read_text(encoding="utf-8", errors="replace")


def size(held: Path | bytes) -> int:
    return len(held) if isinstance(held, bytes) else held.stat().st_size


def check(repository: str) -> None:
    """Raise a UserError for a name that is no repository, without huggingface-hub, or without a token."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"--push takes OWNER/NAME, as in --push me/digits. Received: {repository!r}.")
    try:
        from huggingface_hub import get_token
    except ImportError:
        raise UserError("--push needs huggingface-hub: pip install 'kerasdl[hub]'") from None
    if not get_token():
        raise UserError("--push needs a token of Hugging Face. Log in with: hf auth login, or set HF_TOKEN.")


def push(given: Mapping[str, Path | bytes], repository: str, public: bool = False) -> dict[str, Any]:
    """Make the repository unless it is there, and upload all files in one commit, without those of an earlier one.

    Args:
        given: {name in the repository: file or bytes}.
        repository: OWNER/NAME.
        public: whether everybody may read it. One that is public already is refused without this.

    Returns:
        "repository", its address, "commit", that of the commit, and "public", whether everybody may read it: one that
        is there and private stays so.

    Raises:
        UserError: no token, no network, a repository that is not the user's, or one that is public.
    """
    check(repository)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(library_name="kerasdl")
    try:
        made = api.create_repo(repository, private=not public, exist_ok=True)
        readable = not api.repo_info(repository).private
        if readable and not public:
            raise UserError(f"{repository} is there and public. Add --public, or choose another name.")
        added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=held) for name, held in given.items()]
        lost = [CommitOperationDelete(path_in_repo=name) for name in api.list_repo_files(repository)
                if name not in given and name.partition("/")[0] in files.MEANING]  # others are the owner's
        done = api.create_commit(repository, [*added, *lost], commit_message="Upload a model trained with kerasdl")
    except HFValidationError as error:
        raise UserError(f"{repository} is no name of a repository: {first_line(error)}") from None
    except HfHubHTTPError as error:
        raise UserError(f"Hugging Face refuses {repository}: {first_line(error)}") from None
    except Exception as error:
        if not is_network(error):
            raise
        raise UserError(f"Hugging Face cannot be reached ({type(error).__name__}). Nothing was uploaded; the same "
                        "command tries again.") from None
    return {"repository": str(made), "commit": done.commit_url, "public": readable}


def is_network(error: BaseException) -> bool:
    """Return whether an error is one of the connection: of Python, or of the HTTP library that huggingface-hub uses."""
    return isinstance(error, (ConnectionError, TimeoutError)) or any(
        base.__name__ in ("TransportError", "RequestException") for base in type(error).__mro__)


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
