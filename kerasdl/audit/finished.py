"""Whether a run came to its end with a model, which is asked before TensorFlow is imported."""

from kerasdl.errors import UserError
from kerasdl.run import Run


def check(run: Run) -> None:
    """Raise a UserError for a run that did not finish, that diverged, or that has no model."""
    if run.result["status"] != "completed":
        raise UserError(f"The training of {run.path} {run.result['status']}, so that there is nothing to audit.")
    run.model_file  # noqa: B018  is there
