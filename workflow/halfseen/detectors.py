"""Open-vocabulary detectors: from the name of a class to boxes, by GroundingDINO."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from halfseen.weights import verified

# What transformers reads of a model's folder.
FILES = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
# GroundingDINO parts its phrases at these.
PHRASE_ENDS = str.maketrans({".": " ", "?": " "})


class Detections(NamedTuple):
    """What was found in one image, best first; no row at all where nothing was.

    `boxes` (k, 4) float32 are left, top, right and bottom in pixels, within the image; `scores`
    (k,) float32 lie in [0, 1]; `phrases` are k texts: the words of the caption that a box answers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    phrases: list


def caption(label_name, template="{}.", overrides=None):
    """What the detector is asked for the class `label_name`: lower case and one final full stop.

    `overrides` {class name: words} stand in for names that are no words; any other name loses its
    underscores and the marks that would part it into phrases. The words replace {} in `template`,
    which may hold none: every class is then asked for alike. Raises ValueError where no word is
    left, since a detector would be asked for nothing.
    """
    overrides = overrides or {}
    name = label_name.translate(PHRASE_ENDS).replace("_", " ")
    words = " ".join(overrides.get(label_name, name).split())
    asked = " ".join(template.replace("{}", words).lower().split()).rstrip(". ")
    lacks_a_name = "{}" in template and not any(map(str.isalnum, words))
    if lacks_a_name or not any(map(str.isalpha, asked)):
        raise ValueError(
            f"class {label_name!r} has no word to look for (template {template!r} makes {asked!r} "
            f"of it); give it one in the prompt's overrides, or say what it is in the template"
        )
    return f"{asked}."


@dataclass(frozen=True)
class Detector:
    """GroundingDINO behind one call: images and captions in, boxes out."""

    processor: object
    network: object
    device: object

    def detect(self, images, captions, threshold=0.3, text_threshold=0.25):
        """`Detections` of each image (h, w, 3) uint8, which is asked for its own caption.

        Boxes whose score exceeds `threshold`; words above `text_threshold` make a box's phrase and
        choose no box. The thresholds are LangSAM's. Images of one size share a batch, others never
        do: padding changes what is found, so an image's boxes depend on its batch only by rounding.
        Raises ValueError for other images, for captions that would be misread, and for captions
        longer than the network reads.
        """
        self._refuse_misread(images, captions)
        found = [None] * len(images)
        by_size = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        for indices in by_size.values():
            batch = [images[index] for index in indices], [captions[index] for index in indices]
            for index, one in zip(
                indices, self._detect_batch(*batch, threshold, text_threshold), strict=True
            ):
                found[index] = one
        return found

    @torch.inference_mode()
    def _detect_batch(self, images, captions, threshold, text_threshold):
        inputs = self.processor(
            images=images,
            text=captions,
            padding=True,
            input_data_format="channels_last",
            return_tensors="pt",
        ).to(self.device)
        outputs = self.network(**inputs)
        if not torch.isfinite(outputs.pred_boxes).all() or outputs.logits.isnan().any():
            raise ValueError(
                f"the detector gave boxes or scores that are no numbers for {captions}"
            )
        size = images[0].shape[:2]
        results = self.processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=threshold,
            text_threshold=text_threshold,
            target_sizes=[size] * len(images),
        )
        return [self._best_first(result, size) for result in results]

    def _best_first(self, result, size):
        scores = result["scores"].cpu().numpy()
        boxes = result["boxes"].cpu().numpy().reshape(-1, 4)
        order = np.argsort(-scores, kind="stable")
        height, width = size
        boxes = boxes.clip(0, np.array([width, height, width, height], dtype=boxes.dtype))
        # Without a detection transformers still gives one text: an empty one.
        phrases = [self._words(result["text_labels"][index]) for index in order]
        return Detections(boxes[order], scores[order], phrases)

    def _words(self, phrase):
        tokenizer = self.processor.tokenizer
        for mark in (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token, "."):
            phrase = phrase.replace(mark, " ")
        return " ".join(phrase.split())

    def _refuse_misread(self, images, captions):
        if len(images) != len(captions):
            raise ValueError(f"{len(images)} images need as many captions, not {len(captions)}")
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ValueError(
                    "an image is (h, w, 3) uint8 and not empty; "
                    f"this is {image.shape} {image.dtype}"
                )
        longest = self.network.config.max_text_len
        for text in captions:
            # Texts without full stops would be merged into one caption for all images.
            if not text.endswith("."):
                raise ValueError(f"caption {text!r} does not end with a full stop; see `caption`")
            length = len(self.processor.tokenizer(text)["input_ids"])
            if length > longest:
                raise ValueError(
                    f"caption {text!r} has {length} tokens, of which the detector reads "
                    f"{longest}; shorten the template or the override"
                )


def load_detector(files, sha256s, device="cpu"):
    """The detector of a `detectors:` row: `files` {its name on the hub: path}, `sha256s` likewise.

    Every file is held to its hash and only local files are read. Raises ValueError where a file, or
    a tensor of the weights, is missing or of another network.
    """
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    missing = [name for name in FILES if name not in files]
    if missing:
        raise ValueError(f"the detector lacks {', '.join(missing)}; name them in its row's weights")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files.items():
            (Path(folder) / name).symlink_to(verified(path, sha256s[name]).resolve())
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        network, report = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            disable_custom_kernels=True,  # they are built or fetched while it runs
            ignore_mismatched_sizes=True,  # told below, by name
            output_loading_info=True,
        )
    _refuse_other_network(files, report)
    return Detector(processor, network.to(device), device)


def load_detectors(files, device="cpu"):
    """{name: Detector} of `files` {name: {file's name on the hub: {"path", "sha256"}}}."""
    return {
        name: load_detector(
            {file: each["path"] for file, each in held.items()},
            {file: each["sha256"] for file, each in held.items()},
            device,
        )
        for name, held in files.items()
    }


def _refuse_other_network(files, report):
    problems = (
        [f"missing {name}" for name in sorted(report["missing_keys"])]
        + [f"unexpected {name}" for name in sorted(report["unexpected_keys"])]
        + [f"misshapen {name}" for name, *_ in sorted(report["mismatched_keys"])]
    )
    if problems:
        raise ValueError(
            f"{len(problems)} tensors of {files['model.safetensors']} do not fit the network of "
            f"{files['config.json']}: {', '.join(problems[:5])}; take both from one model"
        )
