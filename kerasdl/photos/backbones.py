"""Networks that know something already: public weights of this machine, and models of your own runs.

Importing this file is light, so that a wrong name is reported at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasdl import objectives, user_code, zoo
from kerasdl.errors import UserError, nearest
from kerasdl.run import Run
from kerasdl.zoo import weights
from kerasdl.zoo.weights import public

if TYPE_CHECKING:
    import keras

PIXELS = "pixels"  # the control that knows nothing


@dataclass(frozen=True)
class Backbone:
    """A network up to its representation.

    Attributes:
        name: how tables call it.
        source: a name of public weights or the folder of a run; "" for pixels.
        model, args: what builds it.
        side: pixels a side that it was trained on.
    """

    name: str
    source: str
    model: str
    args: dict[str, Any]
    side: int

    @property
    def fields(self) -> dict[str, Any]:
        """What a recipe needs to build the same network, with its weights."""
        if self.source in public.KNOWN:
            return {"model": self.model, "model_args": {**self.args, "weights": self.source}}
        if not self.source:
            return {"model": self.model, "model_args": self.args}
        run = Run(Path(self.source))
        args = {**objectives.get(run.recipe.objective, run.path).classifier_args, **self.args}
        args.pop("weights", None)  # the run began with them, and is what this begins with
        return {"model": self.model, "model_args": args, "init": self.source}

    def body(self, side: int) -> "keras.Model":
        """Return the network for colour images of this size: {"features": (B, D)}."""
        from kerasdl.train import pretrained

        shape = (side, side, 3)
        try:
            if self.source in public.KNOWN:
                return weights.backbone(self.source, shape)
            return pretrained.body(self.source, shape) if self.source else zoo.body("linear", shape)
        except ValueError as error:
            raise UserError(" ".join(str(error).split())) from None


def batch_norms(network: "keras.Model") -> tuple[str, ...]:
    """Return the names of the layers of batch normalisation, or the pattern that is theirs alone."""
    import keras

    names = [layer.name for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    others = [layer.name for layer in network.layers if layer.name not in names]
    alone = all(name.endswith("_norm") for name in names) and not any(name.endswith("_norm") for name in others)
    return ("*_norm",) if names and alone else tuple(names)


def pixels() -> Backbone:
    """Return the control: the pixels of a thumbnail."""
    return Backbone(PIXELS, "", "linear", {}, 16)


def at_hand() -> list[Backbone]:
    """Return the public weights that are on this machine."""
    return [_public(name) for name, known in public.KNOWN.items()
            if known.image_size and public.are_here(known.file)]


def named(sources: Sequence[str]) -> list[Backbone]:
    """Return backbones by name; two runs of one recipe have the names of their folders behind.

    Args:
        sources: names of public weights, or folders of runs.

    Raises:
        UserError: none of these, public weights that are not on this machine, or two that cannot be told apart.
    """
    given = list({source if source in public.KNOWN else Path(source).resolve(): source for source in sources}.values())
    found = [_named(source) for source in given]
    names = [each.name for each in found]
    found = [replace(each, name=f"{each.name}-{Path(source).name}") if names.count(each.name) > 1 else each
             for each, source in zip(found, given, strict=True)]
    if len({each.name for each in found}) < len(found):
        raise UserError("Two of --weights are runs of one recipe in folders of one name. Rename one of them.")
    return found


def _named(source: str) -> Backbone:
    if source in public.KNOWN:
        if not public.KNOWN[source].image_size:
            raise UserError(f"--weights {source}: these weights are of a network that reads tokens, not images.")
        try:
            public.find(source)
        except ValueError as error:
            raise UserError(str(error)) from None
        return _public(source)
    run = Run(Path(source))
    if run.path.is_file():
        how = "init" if run.path.suffix == ".keras" else "model_args.weights"
        raise UserError(f"--weights {source} is a file, which does not say of which network it is. Train a recipe of "
                        f"that network with {how}={source}, and freeze=features if it is to stay as it is, and give "
                        "the run.")
    if not run.path.exists():
        raise UserError(f"--weights {source}: there is no run and there are no public weights of that name. "
                        f"{nearest(source, public.KNOWN)}")
    if not all((run.path / name).is_file() for name in ("model.keras", "recipe.json", "data.json")):
        raise UserError(f"--weights {source}: expected the name of public weights or the folder of a finished run.")
    shape = run.data["shape"]
    if run.data["kind"] != "image" or shape[2] != 3:
        raise UserError(f"--weights {source}: photographs have three channels, and the run took examples of {shape}.")
    recipe, model = run.recipe, user_code.kept(run.recipe, run.path)["model"]
    return Backbone(recipe.name or user_code.split(model)[0].stem, str(run.path), model, dict(recipe.model_args),
                    shape[0])


def _public(name: str) -> Backbone:
    known = public.KNOWN[name]
    return Backbone(name.replace("/", "-"), name, known.net, dict(known.args), known.image_size)
