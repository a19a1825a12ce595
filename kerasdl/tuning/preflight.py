"""Checks that need the code of models and objectives, and with it Keras. They run once, before the first trial."""

from kerasdl import costs, objectives, user_code, zoo
from kerasdl.errors import UserError, nearest
from kerasdl.tuning import median_stopping
from kerasdl.tuning.checks import options_of, owners_of
from kerasdl.tuning.dimensions import Choice
from kerasdl.tuning.samplers import hyperband, optuna, ranked

OF_BUILD = {"data", "data_args", "splits", "batch", "epochs", "seed", "precision", "objective"}  # what it reads


def check(search) -> None:
    """Raise a UserError for an objective that is never logged, an argument that does not exist, or a missing package.
    """
    name, _, rest = search.oracle.partition(":")
    if name == "optuna":
        optuna.find(rest)
        if rest == "CmaEsSampler" and search.costs:
            raise UserError("optuna:CmaEsSampler has one aim, and costs are others. Take optuna:NSGAIISampler, or "
                            "limits in place of costs.")
    elif name == "ranked":
        ranked.points(search.dimensions, rest)
    for name in search.measured:
        costs.find(name)
    if not search.build:
        _score(search)
        _model_args(search)
        for objective in options_of(search, search.base, "objective"):
            objectives.of(search.trial(_settings(search, "objective", objective)))
        for key, dimension in search.dimensions:
            if key.startswith("objective_args."):
                for value in dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high):
                    for owner in owners_of(search, search.base, "objective", dimension):
                        objectives.of(search.trial({"objective": owner, key: value}))
    goal(search)


def check_new(search) -> None:
    """Raise a UserError for what would do nothing, or end before anything is found, in a search that begins."""
    if search.build and (others := sorted({key.partition(".")[0] for key in search.overrides} - OF_BUILD)):
        raise UserError(f"build(hp) compiles its own model, and {others[0]} would change nothing. What counts: "
                        f"{', '.join(sorted(OF_BUILD))}.")
    if search.oracle == "hyperband" and search.trials:
        epochs, factor = search.base.epochs, hyperband.FACTOR
        first = hyperband.Bracket.of([], hyperband.brackets(epochs, factor) - 1, epochs, factor, "")
        least = sum(map(first.size, range(first.number))) + 1
        if first.number and search.trials < least:
            raise UserError(f"Trial {least} of hyperband is the first one that trains to its end. Received: "
                            f"trials={search.trials}. Ask for more.")


def goal(search) -> str:
    """Return whether "max" or "min" is best.

    Raises:
        UserError: if the metric is unknown, as one of a function build(hp) may be, and the search does not say.
    """
    if search.goal:
        return search.goal
    names = objectives.names() if search.build else [search.base.objective]
    kinds = [objectives.get(each) for each in names]
    known = {name: best for kind in kinds for name, best in {**kind.scores, **kind.overall_scores}.items()}
    metric = search.objective.partition("/")[2]
    found = known.get(metric) or known.get(_referenced(metric))
    if found is None:
        raise UserError(f"Is a high {search.objective} best or a low one? Write goal=\"max\" or \"min\".")
    return found


def _score(search) -> None:
    metric = search.objective.partition("/")[2]
    objective = objectives.of(search.base)
    logged = objective.scores
    if metric not in logged and metric in objective.overall_scores:
        raise UserError(f"{search.objective} is logged where it chooses the epoch, too. Add monitor={metric} to the "
                        "overrides of the search.")
    if metric not in logged and _referenced(metric) not in logged:
        raise UserError(f"{search.objective} is never logged by objective={search.base.objective}. "
                        f"{nearest(search.objective, [f'val/{name}' for name in logged])}")


def _referenced(metric: str) -> str:
    """Return the score that a metric measures by a reference classifier, kid of kid_digits; "" for other metrics."""
    score = metric.partition("_")[0]
    return score if score in median_stopping.REFERENCED else ""


def _model_args(search) -> None:
    """Refuse arguments that one of the models does not take."""
    models = options_of(search, search.base, "model")
    for model in models:
        build = user_code.load(model) if user_code.is_reference(model) else zoo.module(model).build
        args = search.trial(_settings(search, "model", model)).model_args
        try:
            zoo.check_args(build, args, model)
        except ValueError as error:
            hint = " Add .when(model=...) to what only some of the models have; overrides are for all of them."
            raise UserError(f"{error}{hint if len(models) > 1 else ''}") from None


def _settings(search, owner: str, name: str) -> dict:
    """Return values of a trial of the model or the objective (`owner`) `name`: the lowest of all that it may have."""
    return {owner: name} | {key: dimension.from_unit(0.0) for key, dimension in search.dimensions
                            if key.startswith(f"{owner}_args.")
                            and name in owners_of(search, search.base, owner, dimension)}
