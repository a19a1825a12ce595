"""Weights of Vision Transformers: timm, Hugging Face, KerasHub, and Google's AugReg (Steiner et al. 2022,
arXiv:2106.10270)."""

import numpy as np

from kerasdl.zoo.weights.tables import HALF, Table, Tensors, hub_names, lacks, renamed

QKV = ("q", "k", "v")
TOKEN = lacks(class_token="theirs reads a class token, which is pool='token' here")
HUB_BLOCK = r"backbone/vi_t_encoder/encoder_layers/vi_t_encoder_block_{\1-1}"


def split_qkv(tensors: Tensors, model) -> Tensors:
    """Return timm's tensors with the one map to queries, keys and values as three."""
    found: Tensors = {}
    for name, array in tensors.items():
        if ".attn.qkv." in name:
            found |= {name.replace(".qkv.", f".{part}."): each
                      for part, each in zip(QKV, np.split(array, 3), strict=True)}
        else:
            found[name] = array
    return found


def join_qkv(tensors: Tensors, model) -> Tensors:
    """Return the tensors with the three maps as timm's one."""
    found: Tensors = {}
    for name, array in tensors.items():
        if ".attn.q." in name:
            found[name.replace(".q.", ".qkv.")] = np.concatenate(
                [tensors[name.replace(".q.", f".{part}.")] for part in QKV])
        elif ".attn.k." not in name and ".attn.v." not in name:
            found[name] = array
    return found


def without_pre_logits(tensors: Tensors, model) -> Tensors:
    """Return AugReg's tensors without the hidden layer of the head for 21,000 classes, which fine-tuning drops."""
    return {name: array for name, array in tensors.items() if not name.startswith("pre_logits/")}


def hf_names(tensors: Tensors, model) -> Tensors:
    """Return Hugging Face's tensors by the names in its public files; Transformers 5 has others in memory."""
    return renamed(
        tensors, (r"^(?=embeddings|encoder|layers|layernorm)", "vit."), (r"^vit\.layers\.", "vit.encoder.layer."),
        (r"attention\.q_proj", "attention.attention.query"), (r"attention\.k_proj", "attention.attention.key"),
        (r"attention\.v_proj", "attention.attention.value"), (r"attention\.o_proj", "attention.output.dense"),
        (r"mlp\.fc1", "intermediate.dense"), (r"mlp\.fc2", "output.dense"))


def hub_blocks(tensors: Tensors, model) -> Tensors:
    """Return KerasHub's tensors: its first block has no number, and its positions have no axis for the batch."""
    found = renamed(hub_names(tensors, model), (r"vi_t_encoder_block/", "vi_t_encoder_block_0/"))
    return found | {name: array[None] for name, array in found.items() if name.endswith("position_embedding/0")}


TABLES = [
    Table("vit", "timm", "torch", [
        ("patches", "patch_embed.proj"), ("class_token", "=cls_token"), ("position", "=pos_embed"),
        (r"block(\d+)_norm(\d)", r"blocks.{\1-1}.norm\2"),
        (r"block(\d+)_attn/(q|k|v)(?:uery|ey|alue)", r"blocks.{\1-1}.attn.\2"),
        (r"block(\d+)_attn/attention_output", r"blocks.{\1-1}.attn.proj"),
        (r"block(\d+)_up", r"blocks.{\1-1}.mlp.fc1"), (r"block(\d+)_down", r"blocks.{\1-1}.mlp.fc2"),
        ("norm", "norm"), ("logits", "head"),
    ], prepare=split_qkv, undo=join_qkv, mean=HALF[0], deviation=HALF[1]),
    Table("vit", "hf", "torch", [
        ("patches", "vit.embeddings.patch_embeddings.projection"), ("class_token", "=vit.embeddings.cls_token"),
        ("position", "=vit.embeddings.position_embeddings"),
        (r"block(\d+)_norm1", r"vit.encoder.layer.{\1-1}.layernorm_before"),
        (r"block(\d+)_norm2", r"vit.encoder.layer.{\1-1}.layernorm_after"),
        (r"block(\d+)_attn/(query|key|value)", r"vit.encoder.layer.{\1-1}.attention.attention.\2"),
        (r"block(\d+)_attn/attention_output", r"vit.encoder.layer.{\1-1}.attention.output.dense"),
        (r"block(\d+)_up", r"vit.encoder.layer.{\1-1}.intermediate.dense"),
        (r"block(\d+)_down", r"vit.encoder.layer.{\1-1}.output.dense"),
        ("norm", "vit.layernorm"), ("logits", "classifier"),
    ], prepare=hf_names, refuses=TOKEN, epsilon=1e-12, mean=HALF[0], deviation=HALF[1]),
    Table("vit", "keras_hub", "keras", [
        ("patches", "backbone/vi_t_patching_and_embedding/patch_embedding"),
        ("class_token", "=backbone/vit_patching_and_embedding/0"),
        ("position", "=backbone/vi_t_patching_and_embedding/position_embedding/0"),
        (r"block(\d+)_norm(\d)", rf"{HUB_BLOCK}/ln_\2"),
        (r"block(\d+)_attn/(query|key|value|attention_output)", rf"{HUB_BLOCK}/mha/\2"),
        (r"block(\d+)_up", rf"{HUB_BLOCK}/mlp/dense_1"), (r"block(\d+)_down", rf"{HUB_BLOCK}/mlp/dense_2"),
        ("norm", "backbone/vi_t_encoder/ln"), ("logits", "predictions"),
    ], prepare=hub_blocks, mean=HALF[0], deviation=HALF[1]),
    Table("vit", "augreg", "flax", [
        ("patches", "embedding"), ("class_token", "=cls"), ("position", "=Transformer/posembed_input/pos_embedding"),
        (r"block(\d+)_norm1", r"Transformer/encoderblock_{\1-1}/LayerNorm_0"),
        (r"block(\d+)_norm2", r"Transformer/encoderblock_{\1-1}/LayerNorm_2"),
        (r"block(\d+)_attn/(query|key|value)",
         r"Transformer/encoderblock_{\1-1}/MultiHeadDotProductAttention_1/\2"),
        (r"block(\d+)_attn/attention_output", r"Transformer/encoderblock_{\1-1}/MultiHeadDotProductAttention_1/out"),
        (r"block(\d+)_up", r"Transformer/encoderblock_{\1-1}/MlpBlock_3/Dense_0"),
        (r"block(\d+)_down", r"Transformer/encoderblock_{\1-1}/MlpBlock_3/Dense_1"),
        ("norm", "Transformer/encoder_norm"), ("logits", "head"),
    ], prepare=without_pre_logits, mean=HALF[0], deviation=HALF[1]),
]
