"""Promptable segmenters: SAM and its relatives, built from PyPI's `segment-anything` and timm."""

from functools import partial

import numpy as np
import torch
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


class Segmenter:
    """SAM behind one call: images and prompts in, three candidate masks an image out."""

    def __init__(self, sam, device="cpu"):
        self.sam = sam.to(device).eval()
        self.resize = ResizeLongestSide(sam.image_encoder.img_size)

    @torch.inference_mode()
    def candidates(self, images, prompts):
        """Candidate masks of `images` (b, h, w, 3) uint8, one prompt each: (logits, predicted_iou).

        A prompt is {"box": (left, top, right, bottom)} or {"points": (m, 2), "labels": (m,)} in
        pixels of the image. `logits` (b, 3, h, w) float32 are positive inside the mask;
        `predicted_iou` (b, 3) is SAM's own regression and may exceed 1. The image encoder runs once
        for the whole batch.
        """
        height, width = images.shape[1:3]
        resized = np.stack([self.resize.apply_image(image) for image in images])
        pixels = torch.from_numpy(resized).to(self.sam.device).permute(0, 3, 1, 2)
        embeddings = self.sam.image_encoder(self.sam.preprocess(pixels))
        decoded = [
            self._decode(embedding[None], prompt, pixels.shape[-2:], (height, width))
            for embedding, prompt in zip(embeddings, prompts, strict=True)
        ]
        return np.stack([logits for logits, _ in decoded]), np.stack([iou for _, iou in decoded])

    def _decode(self, embedding, prompt, input_size, original_size):
        points, boxes = self._prompt_tensors(prompt, original_size)
        sparse, dense = self.sam.prompt_encoder(points=points, boxes=boxes, masks=None)
        low_resolution, predicted_iou = self.sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        logits = self.sam.postprocess_masks(low_resolution, input_size, original_size)
        return logits[0].float().cpu().numpy(), predicted_iou[0].float().cpu().numpy()

    def _prompt_tensors(self, prompt, original_size):
        if set(prompt) == {"box"}:
            boxes = self.resize.apply_boxes(np.array([prompt["box"]], dtype=float), original_size)
            return None, torch.as_tensor(boxes, dtype=torch.float32, device=self.sam.device)
        if set(prompt) == {"points", "labels"}:
            points = self.resize.apply_coords(
                np.array(prompt["points"], dtype=float), original_size
            )
            points = torch.as_tensor(points[None], dtype=torch.float32, device=self.sam.device)
            return (points, torch.as_tensor([prompt["labels"]], device=self.sam.device)), None
        # Without a prompt SAM would silently return some mask.
        raise ValueError(
            "a prompt holds a box, or points and labels; "
            f"this one has {sorted(prompt) or 'nothing'}"
        )


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


def mobile_sam(state_dict, input_px):
    """MobileSAM with the weights of upstream's `mobile_sam.pt`, for inputs of `input_px` pixels.

    512 px instead of 1024 runs four times faster at the same mask quality for 224 px images. On a
    CPU, convolutions are fused with their batch norms and laid out channels-last, which changes no
    mask. Raises RuntimeError where a key is missing or left over.
    """
    from timm.utils.model import reparameterize_model

    sam = _sam_around(TinyViTEncoder(input_px), input_px)
    sam.load_state_dict(dict(_timm_names(state_dict)), strict=True)
    sam.eval()
    sam.image_encoder.trunk = reparameterize_model(sam.image_encoder.trunk)
    return sam.to(memory_format=torch.channels_last)


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
