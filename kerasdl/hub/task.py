"""What hubs call the task of a model, read from what its objective declares and what its data holds."""

from collections.abc import Mapping
from typing import Any

from kerasdl.data.spec import recorded_kind
from kerasdl.objectives.base import Objective

NAMED = {"image": "image", "row": "tabular", "tokens": "text"}  # kinds of data, as hubs call them
KNOWN = ("image-classification", "tabular-classification", "tabular-regression", "text-classification",
         "audio-classification", "token-classification")


def pipeline_tag(objective: Objective, facts: Mapping[str, Any]) -> str | None:
    """Return the name of the task, such as "image-classification"; None: hubs have none for it.

    Args:
        objective: of the run.
        facts: its data.json.
    """
    kind, own = recorded_kind(facts), type(objective)
    if objective.predicts and objective.target == "tags":
        return "token-classification"
    if objective.predicts:
        of = "audio" if facts.get("reading", {}).get("source") == "audio" else NAMED.get(kind, "")
        found = f"{of}-{'regression' if objective.target == 'number' else 'classification'}"
        return found if found in KNOWN else None
    if own.continued is not Objective.continued:
        return "text-generation"
    if own.sample is not Objective.sample:
        return "unconditional-image-generation"
    if own.painted is not Objective.painted:
        return "image-to-image"
    return {"image": "image-feature-extraction", "tokens": "feature-extraction"}.get(kind)
