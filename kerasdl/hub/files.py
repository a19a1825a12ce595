"""What of a run's folder other people need."""

from pathlib import Path

from kerasdl.run import Run

MEANING = {  # of files and folders, in the order in which they are shown
    "model.keras": "the model", "recipe.json": "all settings of the training", "data.json": "what the model takes",
    "result.json": "the scores", "metrics.csv": "a row for each epoch", "report.html": "curves and figures",
    "tokenizer.json": "how texts become tokens", "choice.json": "what was chosen automatically",
    "init.json": "where the first weights came from", "code": "the author's own Python files",
    "export": "files for other runtimes, each with `export.json`"}


def shared(run: Run) -> dict[str, Path]:
    """Return {name in a repository: file} of all files that are shared; predictions and logs are not among them."""
    found: dict[str, Path] = {}
    for name in MEANING:
        path = run.path / name
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        found |= {one.relative_to(run.path).as_posix(): one for one in inside
                  if one.is_file() and not any(part.startswith((".", "__pycache__")) for part in
                                               one.relative_to(run.path).parts)}
    return found
