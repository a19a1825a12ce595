"""Language modelling: predict the next token from those before it (Bengio et al. 2003; Radford et al. 2018)."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
from pydantic import Field

from kerasdl.data import subset
from kerasdl.data.split import Split
from kerasdl.data.tokens import FILE, Tokens
from kerasdl.errors import UserError
from kerasdl.objectives import ngrams
from kerasdl.objectives.base import Objective
from kerasdl.objectives.sections import Findings, Section, note, preformatted, table
from kerasdl.objectives.token_loss import Bits, mean_loss
from kerasdl.objectives.token_model import token_model
from kerasdl.run import Run
from kerasdl.settings import Settings
from kerasdl.text import typed
from kerasdl.zoo import generation

FREQUENCIES = "frequencies of tokens"
PROMPT = 8  # tokens that the sample of the report begins with
logger = logging.getLogger(__name__)


class LanguageSettings(Settings):
    """Settings of language modelling."""

    shown: int = Field(500, ge=0, description="tokens of the sample in the report")
    temperature: float = Field(0.8, gt=0, description="of that sample: below 1 probable tokens are taken more often")


class Language(Objective):
    """Predict each token from those before it. The kept model maps tokens (B, T) to float32 logits (B, T, tokens).

    "bits" is the cross-entropy in bits a token; where tokens are characters, bits a character. The perplexity is
    2 ** bits.
    """

    inputs = ("tokens",)
    scores = {"loss": "min", "bits": "min"}
    Settings = LanguageSettings

    def network(self, split: Split) -> keras.Model:
        return token_model(self.recipe, split, (split.example_shape[0] - 1,), run=self.run, causal=True)

    def prepare(self, x: Any, y: None, seed: Any) -> tuple[Any, Any]:
        """Return all tokens but the last, and what follows each: (B, T - 1) both, -1 for padding."""
        following = x[:, 1:]
        return x[:, :-1], following - keras.ops.cast(following == 0, "int32")

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return mean_loss(y, y_pred)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [Bits()]

    def continued(self, kept: keras.Model, prompt: str, count: int, *, temperature: float = 1.0,
                  top_k: int | None = None, top_p: float | None = None, seed: int = 0) -> str:
        """Return the prompt and `count` tokens that the kept model continues it with; see zoo.generation.sample.

        Raises:
            UserError: a prompt without a token that the model knows, or a setting out of range.
        """
        if any("\ud800" <= letter <= "\udfff" for letter in prompt):  # bytes that the terminal does not read as text
            raise UserError("The prompt is not UTF-8. Write it in the encoding of the terminal.")
        tokens, length = self.tokens(), Run(Path(self.run or ".")).data["shape"][0]
        ids = tokens.tokenizer.encode(prompt, add_special_tokens=False).ids
        if not ids:
            raise UserError(f"The prompt {prompt!r} has no token. Give a word or a letter to begin with.")
        try:
            found = generation.sample(kept, ids, count, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
                                      never=tokens.special, longest=max(1, length - 1))
        except ValueError as error:
            raise UserError(str(error)) from None
        return prompt + tokens.decode([*ids, *found])[len(tokens.decode(ids)):]

    def sample(self, kept: keras.Model, n: int, label: int | None, seed: int) -> Any:
        raise UserError("The model writes text, and makes no images. Give it a beginning: --prompt TEXT")

    def tokens(self) -> Tokens:
        """Return the tokenizer of the run."""
        return Tokens((Path(self.run or ".") / FILE).read_text(encoding="utf-8"))

    def facts(self, splits: Mapping[str, Split], answers: Callable) -> dict[str, Any]:
        """Return what the model is compared with: n-grams, with the length of their contexts that is best on val, of
        counts without val."""
        train, unseen = splits["train"], subset.unseen(splits["train"], splits["val"])
        new, vocabulary = train.reading.get("step", train.x.shape[1] - 1), train.build_args["vocabulary"]
        measured = {name: splits[name].x for name in ("val", "test")}
        found = ngrams.bits(train.x, new, measured, vocabulary)
        honest = found if unseen.all() else ngrams.bits(train.x[unseen], new, {"val": measured["val"]}, vocabulary)
        best = min(range(len(honest)), key=lambda context: honest[context]["val"])
        chosen = {FREQUENCIES: 0} | ({f"n-grams of {best + 1} tokens": best} if best else {})
        return {"controls": {name: {split: {"bits": value} for split, value in found[context].items()}
                             for name, context in chosen.items()}}

    def sections(self, findings: Findings) -> list[Section]:
        rows = [(findings.result["recipe"], *(findings.result[name]["bits"] for name in ("val", "test"))),
                *((control, *(scores[name]["bits"] for name in ("val", "test")))
                  for control, scores in findings.result.get("controls", {}).items())]
        head = ("", "val bits", "val perplexity", "test bits", "test perplexity")
        scores = [(name, *(f"{value:.3f}" for bits in pair for value in (bits, 2**bits))) for name, *pair in rows]
        return [Section("Bits and perplexity", table(head, scores), id="bits", above=True), *self.sampled(findings)]

    def sampled(self, findings: Findings) -> list[Section]:
        """Return the section of a sample; none, and a line in the log, if the model cannot continue a text."""
        decode, rows = self.tokens().decode, findings.splits("test").x
        number, prompt = next(((number, text) for number, row in enumerate(rows, 1) if (text := decode(row[:PROMPT]))),
                              (1, ""))  # a window that does not begin with unknown tokens alone
        try:
            sample = self.continued(findings.model(), prompt, self.settings.shown,
                                    temperature=self.settings.temperature)
        except Exception as error:  # noqa: BLE001  whatever the layers of one's own raise
            logger.warning("The report has no sample: %s: %s", type(error).__name__, " ".join(str(error).split()))
            return []
        place = "the test split" if number == 1 else f"window {number} of the test split"
        return [Section("A sample", preformatted(sample) + note(
            f"The first {PROMPT} tokens of {place}, and {self.settings.shown} that the model continues them with at "
            f"temperature {self.settings.temperature:g}, seed 0. Your own: kerasdl sample {typed(findings.folder)} "
            "--prompt TEXT"), id="sample")]

    def next_command(self, folder: Path) -> str:
        return f"kerasdl sample {typed(folder)} --prompt TEXT"
