"""Promptable segmenters: SAM and its relatives, built from PyPI's `segment-anything` and timm."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.utils.transforms import ResizeLongestSide
from torch import nn

from halfseen.masks import RefusedError, stability_score
from halfseen.weights import load_state_dict

EMBEDDING_DIM = 256
STRIDE_PX = 16
TRAINED_PX = 1024
# The encoders of segment_anything's build_sam.py, where each of SAM's three sizes is built.
VIT_ENCODERS = {
    "sam_vit_h": dict(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
    "sam_vit_l": dict(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
    "sam_vit_b": dict(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11)),
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LOW_RESOLUTION_STRIDE = 4


@dataclass(frozen=True)
class Embedding:
    """What SAM's image encoder gives for one image, all that its prompts need.

    `features` (1, 256, s, s); the image's (height, width) as the encoder saw it, before padding,
    and its own.
    """

    features: torch.Tensor
    input_size: tuple[int, int]
    original_size: tuple[int, int]


@dataclass(frozen=True)
class Candidates:
    """Masks (m, h, w) bool to choose from, and SAM's own opinion of each.

    `queries` and `mask_indices` (m,) say which query gave it and which of its three masks it is.
    `predicted_iou` (m,) is SAM's regression and may exceed 1; `stability` (m,). The masks are at
    the decoder's resolution, without padding; `logits` (m, s, s) are for `Segmenter.enlarge`.
    """

    masks: np.ndarray
    queries: list[dict]
    mask_indices: np.ndarray
    predicted_iou: np.ndarray
    stability: np.ndarray
    logits: torch.Tensor


class Segmenter:
    """SAM in two steps: the encoder once an image, and the decoder for all prompts of an image."""

    def __init__(self, sam, device="cpu"):
        self.sam = sam.to(device).eval()
        self.resize = ResizeLongestSide(sam.image_encoder.img_size)

    @torch.inference_mode()
    def embed(self, images):
        """An Embedding of each of `images`, (h, w, 3) uint8 of any sizes, in one batch."""
        pixels = [
            torch.from_numpy(self.resize.apply_image(image)).to(self.sam.device).permute(2, 0, 1)
            for image in images
        ]
        batch = torch.stack([self.sam.preprocess(each) for each in pixels])
        return [
            Embedding(features[None], tuple(each.shape[-2:]), image.shape[:2])
            for features, each, image in zip(
                self.sam.image_encoder(batch), pixels, images, strict=True
            )
        ]

    @torch.inference_mode()
    def decode(self, embedding, queries):
        """SAM's three masks for each of `queries`: (logits (q, 3, s, s), predicted_iou (q, 3)).

        A query is {"box": (left, top, right, bottom)} or {"points": (m, 2), "labels": (m,)} in
        pixels of the image. Those that make equally many tokens are decoded in one batch: one point
        makes two, as a box does. The logits are at a quarter of the encoder's resolution.
        """
        tokens = [self._tokens(query, embedding.original_size) for query in queries]
        logits, predicted_iou = [None] * len(queries), [None] * len(queries)
        for count in sorted({len(each) for each in tokens}):
            places = [place for place, each in enumerate(tokens) if len(each) == count]
            decoded = self.sam.mask_decoder(
                image_embeddings=embedding.features,
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=torch.stack([tokens[place] for place in places]),
                dense_prompt_embeddings=self.sam.prompt_encoder.no_mask_embed.weight[
                    ..., None, None
                ],
                multimask_output=True,
            )
            for place, *each in zip(places, *decoded, strict=True):
                logits[place], predicted_iou[place] = each
        return torch.stack(logits), torch.stack(predicted_iou)

    def candidates(self, embedding, queries):
        """The Candidates of all `queries`, of which one may be {"points_per_side": n} instead.

        That one is answered by segment-anything's SamAutomaticMaskGenerator with its defaults (a
        predicted IoU above 0.88, a stability of 0.95 or more, no near-duplicates), from the same
        embedding. Raises RefusedError where it finds nothing.
        """
        asked, kept = [], []
        for query in queries:
            if set(query) == {"points_per_side"}:
                for point, predicted_iou in self._automatic(embedding, query["points_per_side"]):
                    asked.append(point)
                    kept.append(predicted_iou)
            else:
                asked.append(query)
                kept.append(None)
        if not asked:
            raise RefusedError("SAM's automatic mask generator found nothing")
        logits, predicted_iou = self.decode(embedding, asked)
        rows, columns = _wanted(kept, predicted_iou)
        visible = self._visible(embedding, logits[rows, columns]).float().cpu().numpy()
        return Candidates(
            masks=visible > 0,
            queries=[asked[row] for row in rows],
            mask_indices=columns,
            predicted_iou=predicted_iou[rows, columns].float().cpu().numpy(),
            stability=np.array([stability_score(each) for each in visible]),
            logits=logits[rows, columns],
        )

    @torch.inference_mode()
    def enlarge(self, embedding, logits):
        """Logits (s, s) of `decode` at the image's own size, (h, w) float32, upstream's way."""
        enlarged = self.sam.postprocess_masks(
            logits[None, None], embedding.input_size, embedding.original_size
        )
        return enlarged[0, 0].float().cpu().numpy()

    def _visible(self, embedding, logits):
        """The part of decoded logits that shows the image and not the padding."""
        height, width = (-(-side // LOW_RESOLUTION_STRIDE) for side in embedding.input_size)
        return logits[..., :height, :width]

    def _tokens(self, query, original_size):
        """The tokens (t, 256) that SAM's prompt encoder makes of one query."""
        points = boxes = None
        if set(query) == {"box"}:
            boxes = self._tensor(
                self.resize.apply_boxes(np.array([query["box"]], dtype=float), original_size)
            )
        elif set(query) == {"points", "labels"}:
            coordinates = self.resize.apply_coords(
                np.array([query["points"]], dtype=float), original_size
            )
            points = self._tensor(coordinates), self._tensor([query["labels"]])
        else:
            # Without a prompt SAM would silently return some mask.
            raise ValueError(
                "a prompt holds a box, or points and labels; "
                f"this one has {sorted(query) or 'nothing'}"
            )
        return self.sam.prompt_encoder(points=points, boxes=boxes, masks=None)[0][0]

    def _tensor(self, values):
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.sam.device)

    def _automatic(self, embedding, points_per_side):
        """(query, predicted IoU) of every mask that SAM's automatic mask generator keeps."""
        generator = SamAutomaticMaskGenerator(self.sam, points_per_side)
        generator.predictor = _Embedded(self.sam, embedding)
        blank = np.empty((*embedding.original_size, 3), dtype=np.uint8)
        return [
            ({"points": [tuple(kept["point_coords"][0])], "labels": [1]}, kept["predicted_iou"])
            for kept in generator.generate(blank)
        ]


def _wanted(kept, predicted_iou):
    """Rows and columns of the masks to choose from: of a kept mask that one, else all three."""
    pairs = [
        (row, column)
        for row, score in enumerate(kept)
        for column in (
            range(3) if score is None else [int((predicted_iou[row] - score).abs().argmin())]
        )
    ]
    return [np.array(each) for each in zip(*pairs, strict=True)]


class _Embedded(SamPredictor):
    """A predictor whose image is embedded already."""

    def __init__(self, sam, embedding):
        super().__init__(sam)
        self.embedding = embedding

    def set_image(self, image, image_format="RGB"):
        """Take the embedding instead of `image`."""
        self.features = self.embedding.features
        self.input_size = self.embedding.input_size
        self.original_size = self.embedding.original_size
        self.is_image_set = True


class TinyViTEncoder(nn.Module):
    """MobileSAM's image encoder: TinyViT-5M whose last stage keeps its resolution, and SAM's neck.

    (b, 3, input_px, input_px) -> (b, 256, input_px / 16, input_px / 16). Zhang et al. 2023, "Faster
    Segment Anything"; the differences from timm's TinyViT are those of upstream's
    `tiny_vit_sam.py`.
    """

    def __init__(self, input_px):
        super().__init__()
        import timm

        self.img_size = input_px
        self.trunk = timm.create_model("tiny_vit_5m_224", num_classes=0)
        del self.trunk.head
        self.trunk.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(320, EMBEDDING_DIM, kernel_size=1, bias=False),
            LayerNorm2d(EMBEDDING_DIM),
            nn.Conv2d(EMBEDDING_DIM, EMBEDDING_DIM, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(EMBEDDING_DIM),
        )

    def forward(self, pixels):
        """Image embeddings of normalised pixels."""
        return self.neck(self.trunk.forward_features(pixels))


def upstream_mobile_sam(state_dict, input_px):
    """MobileSAM as upstream's `mobile_sam.pt` has it, for inputs of `input_px` pixels.

    Raises RuntimeError where a key is missing or left over.
    """
    sam = _sam_around(TinyViTEncoder(input_px), input_px)
    sam.load_state_dict(dict(_timm_names(state_dict)), strict=True)
    return sam.eval()


def mobile_sam(state_dict, input_px):
    """MobileSAM with the weights of upstream's `mobile_sam.pt`, made fast without another result.

    512 px instead of 1024 runs four times faster at the same mask quality for 224 px images. On a
    CPU, convolutions are fused with their batch norms and laid out channels-last, and attention
    takes its fast path: a third off the time of the encoder, no mask changed.
    """
    from timm.models.tiny_vit import Attention
    from timm.utils.model import reparameterize_model

    sam = upstream_mobile_sam(state_dict, input_px)
    trunk = sam.image_encoder.trunk = reparameterize_model(sam.image_encoder.trunk)
    for module in trunk.modules():
        if isinstance(module, Attention):
            module.get_attention_biases = _Batched(module.get_attention_biases)
    return sam.to(memory_format=torch.channels_last)


class _Batched:
    """Attention biases with a leading axis: of three axes PyTorch's fast path on a CPU takes none.

    timm's own (heads, n, n) send it to the slow one, a sixth of the encoder's time.
    """

    def __init__(self, biases):
        self.biases = biases

    def __call__(self, device):
        return self.biases(device)[None]


def vit_sam(encoder, state_dict, input_px):
    """SAM with a vision transformer, the weights of upstream's `sam_vit_*.pth`; 1024 px is its own.

    `encoder` are the sizes of its image encoder, a value of `VIT_ENCODERS`. At 512 or 256 px the
    absolute position embedding is resampled (bicubic, as ViTDet does between image sizes) and
    segment_anything interpolates the relative ones of its global blocks itself; it was trained at
    1024 px only, so smaller inputs are faster and less exact. Raises RuntimeError where a key is
    missing, left over or of another shape.
    """
    # No memory and no random numbers for weights that the file's own tensors replace.
    with torch.device("meta"):
        image_encoder = ImageEncoderViT(
            img_size=TRAINED_PX,
            patch_size=STRIDE_PX,
            out_chans=EMBEDDING_DIM,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            **encoder,
        )
    sam = _sam_around(image_encoder, input_px)
    sam.load_state_dict(state_dict, strict=True, assign=True)
    if input_px != TRAINED_PX:
        image_encoder.img_size = input_px
        image_encoder.pos_embed = nn.Parameter(
            _resampled_positions(image_encoder.pos_embed.detach(), input_px // STRIDE_PX)
        )
    return sam


SEGMENTERS = {"mobile_sam": mobile_sam} | {
    kind: partial(vit_sam, encoder) for kind, encoder in VIT_ENCODERS.items()
}


class ReducedPrecision(nn.Module):
    """An image encoder that computes in `dtype` where autocast allows; weights and output stay.

    The embeddings come back as float32: SAM's decoder is small and keeps its full precision.
    """

    def __init__(self, encoder, dtype):
        super().__init__()
        self.encoder, self.dtype, self.img_size = encoder, dtype, encoder.img_size

    def forward(self, pixels):
        """Image embeddings of normalised pixels, float32."""
        with torch.autocast(pixels.device.type, dtype=self.dtype):
            return self.encoder(pixels).float()


def load_segmenter(kind, weights, sha256, input_px, device="cpu", precision="float32"):
    """The segmenter of a `segmenters:` row, with the verified weights of the file `weights`."""
    sam = SEGMENTERS[kind](load_state_dict(weights, sha256), input_px)
    if precision != "float32":
        sam.image_encoder = ReducedPrecision(sam.image_encoder, PRECISIONS[precision])
    return Segmenter(sam, device)


def _sam_around(image_encoder, input_px):
    side = input_px // STRIDE_PX
    return Sam(
        image_encoder=image_encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=EMBEDDING_DIM,
            image_embedding_size=(side, side),
            input_image_size=(input_px, input_px),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBEDDING_DIM, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=EMBEDDING_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


def _resampled_positions(pos_embed, side):
    """The position embedding (1, h, w, d) of another grid, (1, side, side, d)."""
    channels_first = pos_embed.permute(0, 3, 1, 2)
    resampled = nn.functional.interpolate(
        channels_first, size=(side, side), mode="bicubic", align_corners=False
    )
    return resampled.permute(0, 2, 3, 1).contiguous()


def _timm_names(state_dict):
    """Upstream's names as timm's; timm has the downsampling at the head of the next stage."""
    for name, tensor in state_dict.items():
        if name.startswith(("image_encoder.norm_head.", "image_encoder.head.")):
            continue
        if name.startswith("image_encoder.") and not name.startswith("image_encoder.neck."):
            name = name.replace("image_encoder.", "image_encoder.trunk.", 1)
            name = name.replace("patch_embed.seq.0.", "patch_embed.conv1.").replace(
                "patch_embed.seq.2.", "patch_embed.conv2."
            )
            parts = name.split(".")
            if parts[2] == "layers":
                stage = int(parts[3]) + (parts[4] == "downsample")
                parts[2:4] = ["stages", str(stage)]
            name = ".".join(parts).replace(".c.weight", ".conv.weight")
        yield name, tensor
