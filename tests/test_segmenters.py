import hashlib

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from halfseen.datasets.emoji_scenes import EmojiScenes
from halfseen.masks import RefusedError, intersection_over_union, stability_score
from halfseen.segmenters import Segmenter, load_segmenter, mobile_sam, upstream_mobile_sam

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
def upstream(state_dict):
    return Segmenter(upstream_mobile_sam(state_dict, input_px=512))


def test_what_makes_it_fast_changes_no_mask(segmenter, upstream, scenes):
    has_norms = [
        any(isinstance(module, torch.nn.BatchNorm2d) for module in each.sam.image_encoder.modules())
        for each in (segmenter, upstream)
    ]
    assert has_norms == [False, True]
    sample = scenes.samples()[0]
    fast_logits, logits = (
        each.decode(*embedded(each, scenes, [sample]), [{"box": sample.box}])[0].numpy()
        for each in (segmenter, upstream)
    )
    assert fast_logits == pytest.approx(logits, abs=1e-2)
    assert ((fast_logits > 0) != (logits > 0)).mean() < 1e-4


def test_attention_gets_its_biases_with_four_axes(segmenter, upstream, wide, monkeypatch):
    import timm.models.tiny_vit

    axes, attention = [], timm.models.tiny_vit.F.scaled_dot_product_attention

    def watched(*arguments, attn_mask, **named):
        axes.append(attn_mask.dim())
        return attention(*arguments, attn_mask=attn_mask, **named)

    monkeypatch.setattr(timm.models.tiny_vit.F, "scaled_dot_product_attention", watched)
    segmenter.embed([wide])
    assert axes == [4] * 10
    upstream.embed([wide])
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
