"""Feature visualisation: Olah, Mordvintsev & Schubert 2017, "Feature Visualization", Distill."""

import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.explain.description import Material
from kerasdl.explain.network import Network
from kerasdl.objectives.sections import note

TITLE = "Feature visualisation"
READS = ("An example that was made to raise the logit of each class. It shows what the class looks for, and is often "
         "no real example: many others raise the logit as much.")
SOURCE = "Olah et al. 2017, doi:10.23915/distill.00007"
KINDS = ("image", "sequence")
NEEDS = ""
STEPS, RATE, JITTER = 192, 0.05, 8  # JITTER: the example is moved by up to this part of its side
DECAY = 1e-3
MOST = 16  # classes


def fits(network: Network) -> str:
    """Return "" or why no example can be made."""
    if network.layers_named("mel"):
        return f"{network.model.name} reads spectra of sound, in which feature_visualisation does not search."
    return ""


def describe(network: Network, material: Material, *, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Return `examples` (classes, ...), raw, and their `logits` (classes,).

    The search is in the frequencies of an image or a sequence, where low ones come first, as they do in real ones, and
    the example is moved a little at each step, so that no pattern of single pixels is found (Adam, Kingma & Ba 2015).
    """
    shape = shape_of(network, material)
    target = np.arange(min(network.classes, MOST))
    random = np.random.default_rng(material.seed)
    scale, axes = frequencies(shape), tuple(range(1, len(shape)))
    z = 0.01 * random.standard_normal((len(target), *shape))
    first, second = np.zeros_like(z), np.zeros_like(z)
    for step in range(1, steps + 1):
        move = tuple(int(random.integers(-(side // JITTER), side // JITTER + 1)) for side in shape[:-1])
        values, slope = made(network, smooth(z, scale, axes))
        gradient = network.gradients(values, target, np.roll(values, move, axes))[1]
        size = np.sqrt(np.square(gradient).mean(axis=tuple(range(1, z.ndim)), keepdims=True))
        ahead = smooth(np.roll(gradient / np.maximum(size, 1e-12), tuple(-each for each in move), axes) * slope,
                       scale, axes) - DECAY * z  # the filter is symmetric, and so its own transpose
        first, second = 0.9 * first + 0.1 * ahead, 0.999 * second + 0.001 * ahead**2
        z += RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    values = made(network, smooth(z, scale, axes))[0]
    return {"examples": values, "logits": network.logits(values, values)[target, target]}


def shape_of(network: Network, material: Material) -> tuple[int, ...]:
    """Return the shape of an example; of a sequence of any length that of the data, or 64 steps."""
    shape = tuple(network.model.inputs[0].shape[1:])
    return shape if shape[0] is not None else (material.shape[0] if material.shape else 64, *shape[1:])


def frequencies(shape: tuple[int, ...]) -> np.ndarray:
    """Return by what each frequency of an example is multiplied, (..., 1): one over it, of mean square 1."""
    grid = np.meshgrid(*(np.fft.fftfreq(side) for side in shape[:-1]), indexing="ij")
    found = 1 / np.maximum(np.sqrt(sum(np.square(each) for each in grid)), 1 / max(shape[:-1]))
    return (found / np.sqrt(np.square(found).mean()))[..., None]


def smooth(z: np.ndarray, scale: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return numbers (N, ...) with their frequencies multiplied."""
    return np.fft.ifftn(np.fft.fftn(z, axes=axes) * scale, axes=axes).real


def made(network: Network, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return raw examples of numbers around 0, and their slope: pixels 0..255, or steps as spread as the training's."""
    if network.kind == "image":
        share = 1 / (1 + np.exp(-z))
        return (255 * share).astype("float32"), share * (1 - share)
    unit, mean = network.unit(z), network.neutral(np.zeros_like(z))
    return (mean + 2 * unit * np.tanh(z)).astype("float32"), unit * (1 - np.tanh(z)**2)


def show(found: dict[str, np.ndarray], material: Material) -> Markup:
    """Return the examples with the names of their classes, and how many there are of these."""
    drawn = []
    for place, (example, logit) in enumerate(zip(found["examples"], found["logits"], strict=True)):
        address = figures.png(example.round().astype("uint8")) if example.ndim == 3 else figures.sketch(example)
        drawn.append(Markup('<figure><img src="{}" alt="{}"><figcaption>{}, logit {:.1f}</figcaption></figure>').format(
            address, material.named(place), material.named(place), logit))
    few = note(f"The first {len(drawn)} of {len(material.classes)} classes.") if len(drawn) < len(material.classes) \
        else Markup()
    return few + Markup('<div class="images">{}</div>').format(Markup("").join(drawn))
