"""A plan: what a recipe's own training step needs and may take on chips that are not there. Compiled, not run."""

from importlib.util import find_spec
from typing import Any

from kerasdl.errors import UserError, nearest
from kerasdl.installation.backend import BACKENDS
from kerasdl.plan import chips as kinds
from kerasdl.plan import estimate
from kerasdl.plan.chips import Chip
from kerasdl.plan.largest import largest
from kerasdl.plan.talk import Compiler, NotCompiled, refuse
from kerasdl.recipe import Recipe

LABEL = "compiled, not run"
MOST = 2**16  # examples a chip where the size of the set is not known


def plan(recipe: Recipe, on: str, *, batch: int | None = None, backend: str | None = None, price: float | None = None,
         search: bool = True) -> dict[str, Any]:
    """The plan of a recipe for a slice of chips.

    Args:
        on: "v5e-8" and the like, or "cpu": this machine, where the bounds are compared with measured steps.
        batch: examples a step over all chips; by default the recipe's.
        backend: "tensorflow" or "jax"; by default TensorFlow's step, and JAX's where that cannot be compiled.
        price: of a chip for an hour.
        search: whether to look for the largest batch, which takes several compilations more.

    Raises:
        UserError: libtpu is missing, a chip or slice that does not exist, a step that does not fit or compile.
    """
    recipe = recipe if batch is None else recipe.override(batch=batch)
    if backend not in (None, *BACKENDS):
        raise UserError(f"Unknown backend {backend!r}. {nearest(backend, BACKENDS)}")
    if on == "cpu":
        from kerasdl.plan import host

        if backend == "jax":
            raise UserError("--on cpu measures TensorFlow's step. Leave out --backend jax.")
        return host.compare(recipe)
    chip, chips = kinds.parse(on)
    check(recipe, chips, on)
    if backend:
        with Compiler(recipe, chip.name, backend) as compiler:
            return planned(recipe, on, chip, chips, compiler, price, search) | {"backend": backend}
    try:
        return plan(recipe, on, backend="tensorflow", price=price, search=search)
    except NotCompiled as error:
        refusal = error
    try:
        made = plan(recipe, on, backend="jax", price=price, search=search)
    except UserError:
        raise refusal from None  # it is about the backend that was meant
    return made | {"not_tensorflow": str(refusal)}


def check(recipe: Recipe, chips: int, on: str) -> None:
    """Refuse what can be refused before anything is imported."""
    parts = chips * recipe.accumulate
    if recipe.batch % parts:
        near = max(recipe.batch // parts, 1) * parts
        raise UserError(f"batch={recipe.batch} does not divide by the {chips} chips of {on}"
                        f"{f' x accumulate={recipe.accumulate}' * (recipe.accumulate > 1)}. Near it: --batch {near}.")
    for package in ("jax", "libtpu"):
        if find_spec(package) is None:
            raise UserError(f"A plan for a TPU is compiled by {package}, which is not installed: "
                            "pip install 'kerasdl[plan]'")


def planned(recipe: Recipe, on: str, chip: Chip, chips: int, compiler: Compiler, price: float | None, search: bool
            ) -> dict[str, Any]:
    """The plan, from what a compiler answers."""
    about, each = compiler.about, recipe.batch // chips
    if "error" in about:
        refuse(about, recipe, on)

    def ask(of_a_chip: int, count: int = 1) -> dict[str, Any]:
        return compiler.ask(batch=of_a_chip * count, chips=count)

    facts = ask(each, min(chips, 4))
    if "error" in facts:
        refuse(facts, recipe, on, each)
    several = facts if chips > 1 else ask(each, 4)
    collectives = several.get("collectives", {})
    sent = estimate.network(collectives if chips > 1 else {}, chip, chips)
    step = estimate.together(estimate.computing(facts, chip), sent)
    found = {
        "label": LABEL, "recipe": recipe.name or recipe.model, "settings": recipe.diff(), "on": on, "chip": chip.name,
        "chips": chips, "batch": recipe.batch, "batch_per_chip": each, "compiled_chips": min(chips, 4),
        "memory": {"needed": facts["memory"], "available": about["memory"]}, "flops": facts["flops"],
        "compiler_seconds": facts["cycles"] / chip.clock,
        "step_seconds": step, "images_per_second": estimate.speed(step, recipe.batch),
        "collectives": collectives,
        "examples": about["size"], "weights": about["weights"], "price": price, "versions": about["versions"],
    }
    if about["statistics"]:
        width = 4 if recipe.precision == "float32" else 2
        found["per_replica"] = estimate.per_replica(about["weights"], about["statistics"], width)
    if "error" not in several:
        found["growth"] = estimate.growth({**facts, "collectives": collectives}, chip, each, about["size"], price)
    if search:
        most = about["size"] // chips if about["size"] else MOST
        found["largest"] = largest(ask, each, facts, about["weights"], about["memory"], most)
    return found
