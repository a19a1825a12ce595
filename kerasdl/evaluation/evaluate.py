"""Loss and metrics of a run's model on a split."""

from pathlib import Path

import tensorflow as tf

from kerasdl import objectives
from kerasdl.data.naming import naming
from kerasdl.errors import UserError
from kerasdl.evaluation.padded import PaddedEvaluator, evaluator
from kerasdl.evaluation.reference_classifier import FeatureExtractor, of_objective
from kerasdl.evaluation.splits import Data, check_outputs, learned, load_split
from kerasdl.evaluation.tta import augmented
from kerasdl.installation import backend
from kerasdl.objectives.base import Objective
from kerasdl.run import Run


def evaluate(run: Run | str | Path, split: str = "test", *, data: Data = None, tta: str | None = None,
             reference: FeatureExtractor | None = None) -> dict[str, float]:
    """Return the scores of a run's model on a split.

    Args:
        run: the run, or its folder.
        split: "train", "val" or "test", as the run's recipe divides its data.
        data: another data set with the same shape and classes: its name, or splits as kerasdl.data makes them. Of
            another CSV file or folder of images the split is that of a set in one piece, or "all" of it.
        tta: "flip" takes the mean of the answers for an image and for its mirror image, "flip_shift" also of those
            that are moved by a pixel; see kerasdl.evaluation.tta.
        reference: the classifier that the scores of generated images look through; by default the run's own.

    Raises:
        UserError: the data is not what the model was trained for, the run has no model, or the classifier of its scores
            is neither in the package nor in the cache.
    """
    backend.check_floatx()
    run = Run.open(run)
    objective = objectives.of(run.recipe, run.path)
    examples, model = load_split(run, split, data), run.model()
    if tta and not objective.augments_views:
        raise UserError(f"tta is for images that have classes; the objective of {run.path} is {run.recipe.objective}.")
    reference = reference or cached_reference(objective, run, data)
    check_outputs(examples, model)
    with naming({split: examples}):
        if tta:
            return PaddedEvaluator(objective, augmented(model, tta), run.recipe.micro_batch)(examples)
        return evaluator(objective, model, run.recipe.micro_batch, tf.distribute.get_strategy(), reference)(examples)


def cached_reference(objective: Objective, run: Run, data: Data) -> FeatureExtractor | None:
    """Return the classifier that the objective's scores look through, if they do and it is there.

    Raises:
        UserError: it would have to be trained first.
    """
    if objective.reference() is None:
        return None
    found = of_objective(objective, learned(run, data))
    assert found is not None
    if not found.ready:
        raise UserError(f"{found.name}, through which the images of {run.path} are measured, is not in the cache. "
                        "kerasdl eval trains it, and so does kerasdl.train.fit.reference_classifier.")
    return found.extractor()
