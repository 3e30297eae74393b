"""A small random GroundingDINO in files that are laid out like the hub's."""

import hashlib
import json

import torch
from safetensors.torch import load_file, save_file

from halfseen.detectors import FILES

WORDS = ["face", "flamingo", "cougar", "accordion", "red", "##s"]
SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
BERT = {"vocab_size": 1100, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
# Of config.yaml's rows, so that the small network's files are known to be laid out like the hub's.
HUB_SHA256 = {
    "grounding_dino_tokenizer_config": (
        "d40ab645b68211910b9170d22433d43186a6ec8ee6fd10ba170524b25bf4fb56"
    ),
    "grounding_dino_preprocessor": (
        "8454179ba95e2ad22947835aad7b45862a601fc0055ab88bf1ee70892d3aea60"
    ),
}
SIZES = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 20}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}


def vocabulary():
    """A small one; the four tokens that GroundingDINO knows by number are where it expects them."""
    places = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    places |= {1012: ".", 1029: "?"} | {1030 + i: word for i, word in enumerate(WORDS)}
    return {places.get(i, f"[unused{i}]"): i for i in range(1030 + len(WORDS))}


def write_small_detector(folder):
    """Write a small random GroundingDINO to `folder`, in the files and the layout of the hub's."""
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    torch.manual_seed(0)
    swin = SwinConfig(**SWIN, out_indices=[2, 3, 4]).to_dict()
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=BertConfig(**BERT).to_dict(), **SIZES, **HEADS
    )
    network = GroundingDinoForObjectDetection(config)
    with torch.no_grad():  # as it is made, it heeds neither the image nor the text
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
        network.bbox_embed[0].layers[-1].bias[2:] += 1  # boxes large enough to cross the border
    network.save_pretrained(folder)
    BertTokenizer(vocab=vocabulary()).save_pretrained(folder)
    write_settings_as_the_hub_has_them(folder)
    # The indices that the hub's file, of an older transformers, holds besides.
    tensors = load_file(folder / "model.safetensors")
    blocks = [f"model.backbone.conv_encoder.model.encoder.layers.{i}.blocks.0" for i in range(4)]
    indices = torch.zeros(16, 16, dtype=torch.int64)
    tensors |= {
        f"{name}.attention.self.relative_position_index": indices.clone() for name in blocks
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_settings_as_the_hub_has_them(folder):
    """The three files of settings; with the hub's sizes two of them have the hub's very hashes."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    added = {str(i): {"content": token, **flags, "special": True} for token, i in special.items()}
    tokenizer = {f"{token[1:-1].lower()}_token": token for token in special} | {
        "added_tokens_decoder": added,
        "clean_up_tokenization_spaces": True,
        "do_lower_case": True,
        "model_max_length": 512,
        "processor_class": "GroundingDinoProcessor",
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }
    images = {
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "format": "coco_detection",
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "GroundingDinoImageProcessor",
        "image_std": [0.229, 0.224, 0.225],
        "processor_class": "GroundingDinoProcessor",
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": 1333, "shortest_edge": 800},
    }
    assert sha256_as_written(tokenizer) == HUB_SHA256["grounding_dino_tokenizer_config"]
    assert sha256_as_written(images) == HUB_SHA256["grounding_dino_preprocessor"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    images["size"] = {"longest_edge": 144, "shortest_edge": 96}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    older = {"backbone": None, "backbone_kwargs": None, "transformers_version": "4.40.0.dev0"}
    older |= {"use_timm_backbone": False, "use_pretrained_backbone": False}
    written = json.loads((folder / "config.json").read_text()) | older
    (folder / "config.json").write_text(json.dumps(written))


def sha256_as_written(settings):
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    return hashlib.sha256(text.encode()).hexdigest()


def paths_and_hashes(folder):
    paths = {name: folder / name for name in FILES}
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    return paths, hashes
