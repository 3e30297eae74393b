import hashlib
from functools import partial

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.build_sam import _build_sam

from halfseen.datasets.emoji_scenes import EmojiScenes
from halfseen.masks import RefusedError, intersection_over_union, stability_score
from halfseen.segmenters import (
    SEGMENTERS,
    VIT_ENCODERS,
    Segmenter,
    load_segmenter,
    mobile_sam,
    upstream_mobile_sam,
    vit_sam,
)

SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"


@pytest.fixture(scope="module")
def scenes():
    return EmojiScenes(n_images=12, n_classes=12, background_correlation=0, seed=3)


@pytest.fixture(scope="module")
def segmenter(mobile_sam):
    return load_segmenter("mobile_sam", mobile_sam, SHA256, input_px=512)


@pytest.fixture(scope="module")
def state_dict(mobile_sam):
    return torch.load(mobile_sam, weights_only=True)


def embedded(segmenter, scenes, samples):
    return segmenter.embed([scenes.image(sample.image_id) for sample in samples])


def best_iou(segmenter, embedding, logits, mask):
    """The highest IoU with `mask` among the masks of one query."""
    return max(
        intersection_over_union(segmenter.enlarge(embedding, each) > 0, mask) for each in logits
    )


def middle(box):
    return [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)]


def test_a_box_finds_the_drawn_object(segmenter, scenes):
    samples = scenes.samples()
    found = []
    for sample, embedding in zip(samples, embedded(segmenter, scenes, samples), strict=True):
        logits, predicted_iou = segmenter.decode(embedding, [{"box": sample.box}])
        mask = segmenter.enlarge(embedding, logits[0, predicted_iou[0].argmax()]) > 0
        found.append(intersection_over_union(mask, scenes.mask(sample.image_id)))
    assert np.mean(found) > 0.9


def test_a_point_on_the_object_and_its_box_mean_the_same_object(segmenter, scenes):
    sample = next(sample for sample in scenes.samples() if sample.label_name == "frog")
    (embedding,) = embedded(segmenter, scenes, [sample])
    queries = [{"points": middle(sample.box), "labels": [1]}, {"box": sample.box}]
    logits, predicted_iou = segmenter.decode(embedding, queries)
    assert predicted_iou.shape == (2, 3)
    for each in logits:
        assert best_iou(segmenter, embedding, each, scenes.mask(sample.image_id)) > 0.85


def test_embeddings_do_not_depend_on_the_batch(segmenter, scenes):
    samples = scenes.samples()[:3]
    together = embedded(segmenter, scenes, samples)
    for sample, embedding in zip(samples, together, strict=True):
        (alone,) = embedded(segmenter, scenes, [sample])
        assert embedding.features.numpy() == pytest.approx(alone.features.numpy(), abs=1e-4)


@pytest.fixture(scope="module")
def wide():
    """A picture that is not square."""
    from skimage.data import chelsea

    return chelsea()[:240, :400]


QUERIES = [
    {"box": (120.0, 60.0, 300.0, 200.0)},
    {"points": [(200.0, 100.0)], "labels": [1]},
    {"points": [(200.0, 100.0), (10.0, 10.0)], "labels": [1, 0]},
    {"box": (30.0, 20.0, 390.0, 239.0)},
]


def test_all_queries_together_are_decoded_as_each_alone(segmenter, wide):
    (embedding,) = segmenter.embed([wide])
    together = segmenter.decode(embedding, QUERIES)
    for place, query in enumerate(QUERIES):
        for all_of_them, alone in zip(together, segmenter.decode(embedding, [query]), strict=True):
            assert all_of_them[place].numpy() == pytest.approx(alone[0].numpy(), abs=1e-3)


@pytest.mark.parametrize("place", range(len(QUERIES)))
def test_masks_and_scores_are_those_of_segment_anything_s_predictor(segmenter, wide, place):
    query = QUERIES[place]
    (embedding,) = segmenter.embed([wide])
    logits, predicted_iou = segmenter.decode(embedding, [query])
    predictor = SamPredictor(segmenter.sam)
    predictor.set_image(wide)
    masks, expected_iou, low_resolution = predictor.predict(
        box=np.array(query["box"]) if "box" in query else None,
        point_coords=np.array(query["points"]) if "points" in query else None,
        point_labels=np.array(query["labels"]) if "labels" in query else None,
    )
    assert predicted_iou[0].numpy() == pytest.approx(expected_iou, abs=1e-4)
    assert logits[0].numpy() == pytest.approx(low_resolution, abs=1e-2)
    for each, expected in zip(logits[0], masks, strict=True):
        enlarged = segmenter.enlarge(embedding, each)
        assert enlarged.shape == wide.shape[:2]
        assert ((enlarged > 0) != expected).mean() < 1e-4


def test_candidates_are_all_masks_of_all_queries_without_the_padding(segmenter, wide):
    (embedding,) = segmenter.embed([wide])
    found = segmenter.candidates(embedding, QUERIES)
    logits, predicted_iou = segmenter.decode(embedding, QUERIES)
    # 400 x 240 pixels are 512 x 307 for the encoder, of which the decoder sees a quarter.
    assert found.masks.shape == (12, 77, 128)
    assert np.array_equal(found.masks, (logits.flatten(0, 1) > 0)[:, :77].numpy())
    assert found.predicted_iou == pytest.approx(predicted_iou.flatten().numpy())
    assert found.queries == [query for query in QUERIES for _ in range(3)]
    assert found.mask_indices.tolist() == [0, 1, 2] * 4
    large = segmenter.enlarge(embedding, found.logits[4])
    assert found.stability[4] == pytest.approx(stability_score(large), abs=0.02)
    assert found.masks[4].mean() == pytest.approx((large > 0).mean(), abs=0.01)


def test_the_automatic_generator_answers_from_the_embedding(segmenter, wide, monkeypatch):
    expected = SamAutomaticMaskGenerator(segmenter.sam, 4).generate(wide)
    assert len(expected) > 1
    (embedding,) = segmenter.embed([wide])
    # From here on nothing is encoded.
    monkeypatch.setattr(segmenter.sam.image_encoder, "forward", None)
    found = segmenter.candidates(embedding, [{"points_per_side": 4}])
    assert len(found.masks) == len(expected)
    for kept, logits, query, score in zip(
        expected, found.logits, found.queries, found.predicted_iou, strict=True
    ):
        assert np.allclose(query["points"], kept["point_coords"])
        assert score == pytest.approx(kept["predicted_iou"], abs=1e-5)
        mask = segmenter.enlarge(embedding, logits) > 0
        assert intersection_over_union(mask, kept["segmentation"]) > 0.999


def test_an_automatic_generator_that_keeps_nothing_is_refused(segmenter, wide, monkeypatch):
    (embedding,) = segmenter.embed([wide])
    monkeypatch.setattr(SamAutomaticMaskGenerator, "generate", lambda self, image: [])
    with pytest.raises(RefusedError, match="automatic mask generator found nothing"):
        segmenter.candidates(embedding, [{"points_per_side": 1}])


@pytest.fixture(scope="module")
def upstream_mobile(state_dict):
    return Segmenter(upstream_mobile_sam(state_dict, input_px=512))


def test_what_makes_it_fast_changes_no_mask(segmenter, upstream_mobile, scenes):
    has_norms = [
        any(isinstance(module, torch.nn.BatchNorm2d) for module in each.sam.image_encoder.modules())
        for each in (segmenter, upstream_mobile)
    ]
    assert has_norms == [False, True]
    sample = scenes.samples()[0]
    fast_logits, logits = (
        each.decode(*embedded(each, scenes, [sample]), [{"box": sample.box}])[0].numpy()
        for each in (segmenter, upstream_mobile)
    )
    assert fast_logits == pytest.approx(logits, abs=1e-2)
    assert ((fast_logits > 0) != (logits > 0)).mean() < 1e-4


def test_attention_gets_its_biases_with_four_axes(segmenter, upstream_mobile, wide, monkeypatch):
    import timm.models.tiny_vit

    axes, attention = [], timm.models.tiny_vit.F.scaled_dot_product_attention

    def watched(*arguments, attn_mask, **named):
        axes.append(attn_mask.dim())
        return attention(*arguments, attn_mask=attn_mask, **named)

    monkeypatch.setattr(timm.models.tiny_vit.F, "scaled_dot_product_attention", watched)
    segmenter.embed([wide])
    assert axes == [4] * 10
    upstream_mobile.embed([wide])
    assert axes[10:] == [3] * 10


def test_a_missing_tensor_is_an_error(state_dict):
    tensors = dict(state_dict)
    del tensors["image_encoder.neck.0.weight"]
    with pytest.raises(RuntimeError, match=r"image_encoder\.neck\.0\.weight"):
        mobile_sam(tensors, input_px=256)


def test_a_left_over_tensor_is_an_error(state_dict):
    with pytest.raises(RuntimeError, match="of_another_network"):
        mobile_sam(state_dict | {"of_another_network": torch.zeros(1)}, input_px=256)


def test_no_prompt_is_an_error_and_not_some_mask(segmenter, scenes):
    (embedding,) = embedded(segmenter, scenes, scenes.samples()[:1])
    with pytest.raises(ValueError, match="a prompt holds a box, or points and labels"):
        segmenter.candidates(embedding, [{}])


def test_the_checkpoint_is_the_published_one(mobile_sam):
    assert hashlib.sha256(mobile_sam.read_bytes()).hexdigest() == SHA256


# SAM with a vision transformer, but one of 2 narrow blocks, the second one global.
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_attn_indexes": (1,)}


@pytest.fixture(scope="module")
def upstream():
    """segment_anything's own SAM of that size, every weight random."""
    torch.manual_seed(0)
    sam = _build_sam(32, 2, 2, [1])
    for weights in sam.parameters():  # rel_pos and pos_embed would be 0
        weights.data.add_(0.1 * torch.randn_like(weights))
    return sam


@pytest.fixture(scope="module")
def checkpoint(upstream, tmp_path_factory):
    """Its weights in a file of the layout of sam_vit_b_01ec64.pth, and the file's hash."""
    path = tmp_path_factory.mktemp("sam") / "sam_vit_small.pth"
    torch.save(upstream.state_dict(), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def load_small(checkpoint, monkeypatch):
    """A function that loads it as a row would, by the name of a kind."""
    monkeypatch.setitem(SEGMENTERS, "sam_vit_b", partial(vit_sam, SMALL))
    return partial(load_segmenter, "sam_vit_b", *checkpoint)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(1).integers(0, 256, (150, 224, 3), dtype=np.uint8)


def answers(segmenter, image, query):
    """Logits (3, h, w) and predicted IoU (3,) of one query, at the image's size."""
    (embedding,) = segmenter.embed([image])
    (logits,), (predicted_iou,) = segmenter.decode(embedding, [query])
    large = np.stack([segmenter.enlarge(embedding, each) for each in logits])
    return large, predicted_iou.numpy()


BOX_PX = (40.0, 30.0, 170.0, 120.0)


def test_a_vision_transformer_gives_what_segment_anything_s_own_predictor_gives(
    upstream, load_small, picture
):
    predictor = SamPredictor(upstream)
    predictor.set_image(picture)
    wanted, wanted_iou, _ = predictor.predict(box=np.array(BOX_PX), return_logits=True)
    logits, iou = answers(load_small(1024), picture, {"box": BOX_PX})
    assert logits == pytest.approx(wanted, abs=1e-4)
    assert iou == pytest.approx(wanted_iou, abs=1e-5)
    assert ((logits > 0) == (wanted > 0)).all()
    assert 0.05 < (logits > 0).mean() < 0.95


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_the_three_sizes_are_built_as_segment_anything_s_registry_builds_them(size):
    with torch.device("meta"):
        theirs = sam_model_registry[size]()
        # It is strict: the names and the shapes of all tensors agree, or it raises.
        ours = vit_sam(VIT_ENCODERS[f"sam_{size}"], theirs.state_dict(), 1024)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)  # among others the norms' eps
    for own, other in zip(ours.image_encoder.blocks, theirs.image_encoder.blocks, strict=True):
        assert own.window_size == other.window_size
        assert (own.attn.num_heads, own.attn.scale) == (other.attn.num_heads, other.attn.scale)
        assert own.attn.use_rel_pos is other.attn.use_rel_pos is True
    assert (ours.pixel_mean == theirs.pixel_mean).all()
    assert (ours.pixel_std == theirs.pixel_std).all()


def test_a_vision_transformer_s_missing_left_over_or_misshapen_tensor_is_named(upstream):
    tensors = upstream.state_dict()
    del tensors["image_encoder.blocks.1.attn.rel_pos_h"]
    tensors["of_another_network"] = torch.zeros(1)
    tensors["image_encoder.pos_embed"] = torch.zeros(1, 32, 32, 32)
    with pytest.raises(RuntimeError) as told:
        vit_sam(SMALL, tensors, 1024)
    for name in ("blocks.1.attn.rel_pos_h", "of_another_network", "pos_embed"):
        assert name in str(told.value)


def test_at_its_own_size_no_position_is_touched(upstream):
    sam = vit_sam(SMALL, upstream.state_dict(), 1024)
    for name, tensor in upstream.state_dict().items():
        assert torch.equal(sam.state_dict()[name], tensor), name


def test_at_another_size_a_position_embedding_that_is_a_slope_stays_one(upstream):
    tensors = upstream.state_dict()
    slope = (torch.arange(64) + 0.5) / 64
    tensors["image_encoder.pos_embed"] = slope.expand(1, 32, 64, 64).permute(0, 2, 3, 1)
    found = vit_sam(SMALL, tensors, 512).image_encoder.pos_embed[0]
    assert found.shape == (32, 32, 32)
    expected = (torch.arange(32) + 0.5) / 32
    assert torch.allclose(found[5, 2:-2, 7], expected[2:-2], atol=1e-6)  # columns
    assert torch.allclose(found[2:-2, 5, 7], expected[5].expand(28), atol=1e-6)  # rows


def test_at_another_size_segment_anything_resamples_the_relative_positions(upstream, picture):
    sam = vit_sam(SMALL, upstream.state_dict(), 256)
    # The same network built for 256 px, its tables resampled before they are loaded.
    tensors = upstream.state_dict()
    resampled = sam.image_encoder.pos_embed.detach()
    tensors["image_encoder.pos_embed"] = resampled
    for axis in "hw":
        name = f"image_encoder.blocks.1.attn.rel_pos_{axis}"
        table = torch.nn.functional.interpolate(tensors[name].T[None], size=31, mode="linear")
        tensors[name] = table[0].T
    built = type(sam.image_encoder)(
        img_size=256, out_chans=256, use_rel_pos=True, window_size=14, **SMALL,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    encoder = "image_encoder."
    built.load_state_dict(
        {key.removeprefix(encoder): tensors[key] for key in tensors if key.startswith(encoder)}
    )
    pixels = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        assert torch.allclose(sam.image_encoder(pixels), built(pixels), atol=1e-5)


def test_a_smaller_input_still_gives_masks_of_the_image_s_size(load_small, picture):
    logits, iou = answers(load_small(256), picture, {"box": BOX_PX})
    assert logits.shape == (3, 150, 224)
    assert iou.shape == (3,)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_rounds_the_embeddings_and_nothing_else(load_small, precision):
    pixels = torch.randn(1, 3, 256, 256)
    exact, rounded = (load_small(256, precision=each).sam for each in ("float32", precision))
    with torch.inference_mode():
        wanted, found = (sam.image_encoder(pixels) for sam in (exact, rounded))
    assert found.dtype == torch.float32
    error = (found - wanted).norm() / wanted.norm()
    assert 1e-5 < error < (5e-2 if precision == "bfloat16" else 5e-3)
    assert {weights.dtype for weights in rounded.parameters()} == {torch.float32}


def test_a_mask_of_reduced_precision_is_the_same_mask(segmenter, mobile_sam, scenes):
    sample = scenes.samples()[0]
    image, query = scenes.image(sample.image_id), {"box": sample.box}
    reduced = load_segmenter("mobile_sam", mobile_sam, SHA256, 512, precision="bfloat16")
    masks = [answers(each, image, query)[0] > 0 for each in (segmenter, reduced)]
    for one, other in zip(*masks, strict=True):
        assert intersection_over_union(one, other) > 0.97
