"""Weights of BERT (Devlin et al. 2019, arXiv:1810.04805) and of encoders of its kind, such as MiniLM: Hugging Face."""

from kerasdl.zoo.weights.tables import Table, Tensors, renamed

PREFIX = "bert."
POSITIONS = f"{PREFIX}embeddings.position_embeddings.weight"


def bert_names(tensors: Tensors, model) -> Tensors:
    """Return the tensors with the prefix of a whole model, and only as many of the first positions as ours has."""
    found = renamed(tensors, (r"^(?=(embeddings|encoder|pooler)\.)", PREFIX),
                    (r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
    wanted = next((layer.longest for layer in model.layers if layer.name == "position"), None)
    return found | ({POSITIONS: found[POSITIONS][:wanted]} if POSITIONS in found else {})


BLOCK = rf"{PREFIX}encoder.layer.{{\1-1}}"
TABLES = [
    Table("transformer", "hf", "torch", [
        ("embedding", f"={PREFIX}embeddings.word_embeddings.weight"), ("position", f"={POSITIONS}"),
        ("types", f"={PREFIX}embeddings.token_type_embeddings.weight"),
        ("embedding_norm", f"{PREFIX}embeddings.LayerNorm"),
        (r"block(\d+)_attn/(query|key|value)", rf"{BLOCK}.attention.self.\2"),
        (r"block(\d+)_attn/attention_output", rf"{BLOCK}.attention.output.dense"),
        (r"block(\d+)_norm1", rf"{BLOCK}.attention.output.LayerNorm"),
        (r"block(\d+)_up", rf"{BLOCK}.intermediate.dense"), (r"block(\d+)_down", rf"{BLOCK}.output.dense"),
        (r"block(\d+)_norm2", rf"{BLOCK}.output.LayerNorm"),
    ], prepare=bert_names, ignored=r"position_ids$", others=r"^bert\.pooler\.|^(cls|classifier|qa_outputs)\.",
        epsilon=1e-12, mean=None, deviation=None),
]
