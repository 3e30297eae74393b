import socket

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from small_detector import HUB_SHA256, paths_and_hashes

from halfseen.detectors import FILES, caption, load_detector, load_detectors
from halfseen.weights import WrongBytesError


@pytest.fixture(scope="module")
def folder(small_detector):
    return small_detector


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the files, to be spoilt."""
    for name in FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def detector(folder):
    return load_detector(*paths_and_hashes(folder))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (70, 50, 3), dtype=np.uint8) for _ in range(3)]


def assert_same(one, other):
    assert one.boxes == pytest.approx(other.boxes, abs=1e-3)
    assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert one.phrases == other.phrases


def found_by_hand(folder, image, text, threshold):
    """Corners (k, 4) in pixels, not clipped, and scores (k,) of one image, best first."""
    from PIL import Image
    from transformers import AutoProcessor, GroundingDinoForObjectDetection

    network = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(image), text=text, return_tensors="pt")
    with torch.no_grad():
        outputs = network(**inputs)
    scores = outputs.logits[0].sigmoid().amax(dim=-1)
    kept = scores > threshold
    x, y, width, height = outputs.pred_boxes[0][kept].T.numpy()
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    scores = scores[kept].numpy()
    order = np.argsort(-scores, kind="stable")
    return corners[order] * np.tile(image.shape[1::-1], 2), scores[order]


def test_it_finds_what_the_network_says_sorted_and_clipped_to_the_image(detector, folder, images):
    boxes, scores = found_by_hand(folder, images[0], "cougar face.", threshold=0.3)
    (found,) = detector.detect(images[:1], ["cougar face."])
    assert boxes.min() < 0
    assert (boxes > [50, 70, 50, 70]).any()
    assert found.boxes == pytest.approx(boxes.clip(0, [50, 70, 50, 70]), abs=1e-3)
    assert found.scores == pytest.approx(scores, abs=1e-6)
    assert len(found.phrases) == len(found.boxes) > 3


def test_an_image_of_three_rows_is_not_taken_for_one_with_its_channels_first(detector, folder):
    image = np.random.default_rng(7).integers(0, 256, (3, 50, 3), dtype=np.uint8)
    boxes, scores = found_by_hand(folder, image, "flamingo.", threshold=0)
    (found,) = detector.detect([image], ["flamingo."], threshold=0)
    assert found.boxes == pytest.approx(boxes.clip(0, [50, 3, 50, 3]), abs=1e-3)
    assert found.scores == pytest.approx(scores, abs=1e-6)


def test_boxes_lie_in_the_image_and_have_an_area(detector, images):
    for found in detector.detect(images, ["flamingo."] * 3, threshold=0):
        left, top, right, bottom = found.boxes.T
        assert min(left.min(), top.min()) >= 0
        assert right.max() <= 50
        assert bottom.max() <= 70
        assert min((right - left).min(), (bottom - top).min()) > 0
        assert len(found.boxes) == 20


def test_an_image_gives_the_same_alone_and_among_others_of_any_size(detector, images):
    wide = np.random.default_rng(6).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    mixed = [images[0], wide, images[1]]
    captions = ["flamingo.", "red.", "cougar face red accordion."]
    together = detector.detect(mixed, captions)
    for image, text, among in zip(mixed, captions, together, strict=True):
        assert len(among.boxes) > 0
        assert_same(detector.detect([image], [text])[0], among)


def test_twice_the_same_is_the_same_to_the_bit(detector, images):
    one, other = (detector.detect(images, ["flamingo."] * 3) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert (first.boxes == second.boxes).all()
        assert (first.scores == second.scores).all()


def test_each_image_is_asked_for_its_own_caption(detector, images):
    same = [images[0], images[0]]
    flamingo, cougar = detector.detect(same, ["flamingo.", "cougar face."])
    assert {word for phrase in flamingo.phrases for word in phrase.split()} == {"flamingo"}
    assert {word for phrase in cougar.phrases for word in phrase.split()} == {"cougar", "face"}
    assert len(flamingo.scores) != len(cougar.scores) or not np.allclose(
        flamingo.scores, cougar.scores
    )


def test_only_boxes_above_the_threshold_are_kept(detector, images):
    (every,) = detector.detect(images[:1], ["red face."], threshold=0)
    middle = float(every.scores[10])
    (some,) = detector.detect(images[:1], ["red face."], threshold=middle)
    assert len(every.scores) == 20
    assert (np.diff(every.scores) <= 0).all()
    assert (some.scores == every.scores[every.scores > middle]).all()
    assert (some.boxes == every.boxes[: len(some.boxes)]).all()


def test_a_word_must_exceed_the_text_threshold_and_chooses_no_box(detector, images):
    (loose,) = detector.detect(images[:1], ["red face."], text_threshold=0)
    (strict,) = detector.detect(images[:1], ["red face."], text_threshold=1)
    assert loose.phrases == ["red face"] * len(loose.boxes)
    assert strict.phrases == [""] * len(loose.boxes)
    assert (strict.boxes == loose.boxes).all()


def test_no_detection_is_no_box_no_score_and_no_phrase(detector, images):
    found = detector.detect([images[0], images[1]], ["flamingo.", "face."], threshold=1)
    for one in found:
        assert (one.boxes.shape, one.scores.shape, one.phrases) == ((0, 4), (0,), [])
        assert (one.boxes.dtype, one.scores.dtype) == (np.float32, np.float32)


def test_no_image_gives_no_result(detector):
    assert detector.detect([], []) == []


def test_it_is_loaded_and_run_without_a_network(folder, images, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError(f"a connection was asked for: {arguments}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    (found,) = load_detector(*paths_and_hashes(folder)).detect(images[:1], ["flamingo."])
    assert len(found.boxes) > 0


def test_each_detector_comes_from_its_own_files_held_to_their_hashes(folder, images):
    paths, hashes = paths_and_hashes(folder)
    files = {name: {"path": str(paths[name]), "sha256": hashes[name]} for name in FILES}
    found = load_detectors({"one": files, "other": files})
    assert list(found) == ["one", "other"]
    expected = load_detector(paths, hashes).detect(images[:1], ["face."])
    for each in found.values():
        assert_same(each.detect(images[:1], ["face."])[0], expected[0])
    assert load_detectors({}) == {}
    wrong = files | {"config.json": files["config.json"] | {"sha256": "0"}}
    with pytest.raises(WrongBytesError, match="config.json has sha256 .* where 0 was expected"):
        load_detectors({"one": wrong})


def test_a_missing_file_is_named(folder):
    paths, hashes = paths_and_hashes(folder)
    del paths["tokenizer.json"]
    with pytest.raises(ValueError, match=r"the detector lacks tokenizer\.json"):
        load_detector(paths, hashes)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_other_bytes_is_named(copy, name):
    paths, hashes = paths_and_hashes(copy)
    paths[name].write_bytes(paths[name].read_bytes() + b" ")
    with pytest.raises(WrongBytesError, match=name):
        load_detector(paths, hashes)


def test_a_missing_or_unexpected_tensor_is_named(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.text_projection.weight"]
    tensors["of_another_network"] = torch.zeros(1)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    told = (
        r"2 tensors of .*model\.safetensors do not fit the network of .*config\.json: "
        r"missing model\.text_projection\.weight, unexpected of_another_network; take both"
    )
    with pytest.raises(ValueError, match=told):
        load_detector(*paths_and_hashes(copy))


def test_a_tensor_of_another_shape_is_named(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["model.text_projection.weight"] = torch.zeros(32, 17)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    told = r"1 tensors of .*: misshapen model\.text_projection\.weight; take both"
    with pytest.raises(ValueError, match=told):
        load_detector(*paths_and_hashes(copy))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((0, 50, 3), dtype=np.uint8), r"this is \(0, 50, 3\) uint8"),
        (np.zeros((70, 50), dtype=np.uint8), r"this is \(70, 50\) uint8"),
        (np.zeros((70, 50, 3), dtype=np.uint16), r"this is \(70, 50, 3\) uint16"),
        (np.zeros((70, 50, 4), dtype=np.uint8), r"this is \(70, 50, 4\) uint8"),
    ],
)
def test_an_image_that_is_none_is_an_error(detector, image, told):
    with pytest.raises(ValueError, match=told):
        detector.detect([image], ["flamingo."])


def test_captions_without_a_full_stop_are_refused_since_they_would_be_merged(detector, images):
    with pytest.raises(ValueError, match="caption 'cougar' does not end with a full stop"):
        detector.detect(images[:2], ["flamingo.", "cougar"])


def test_every_image_needs_a_caption(detector, images):
    with pytest.raises(ValueError, match="2 images need as many captions, not 1"):
        detector.detect(images[:2], ["flamingo."])


def test_a_caption_longer_than_the_network_reads_is_an_error(detector, images):
    longest = " ".join(["red"] * 253) + "."  # with [CLS], the full stop and [SEP] 256 tokens
    assert len(detector.detect(images[:1], [longest], threshold=0)[0].boxes) == 20
    with pytest.raises(ValueError, match="has 257 tokens, of which the detector reads 256"):
        detector.detect(images[:1], [f"red {longest}"])


@pytest.mark.parametrize("name", ["logits", "pred_boxes"])
def test_one_value_that_is_no_number_is_an_error_and_not_no_detection(detector, images, name):
    def spoil(network, inputs, outputs):
        outputs[name] = outputs[name].index_fill(1, torch.tensor([0]), float("nan"))
        return outputs

    hook = detector.network.register_forward_hook(spoil)
    with hook, pytest.raises(ValueError, match=r"no numbers for \['flamingo\.'\]"):
        detector.detect(images[:1], ["flamingo."])


@pytest.mark.parametrize(
    ("label_name", "keywords", "told"),
    [
        ("flamingo_head", {}, "flamingo head."),
        ("Cougar_Face", {}, "cougar face."),
        ("  ice__cream ", {}, "ice cream."),
        ("st._bernard?", {}, "st bernard."),
        ("Faces_easy", {"overrides": {"Faces_easy": "face"}}, "face."),
        ("faces_easy", {"overrides": {"Faces_easy": "face"}}, "faces easy."),
        ("yin_yang", {"overrides": {"yin_yang": "Symbol. circle."}}, "symbol. circle."),
        ("747-400", {"template": "a Boeing {} airplane"}, "a boeing 747-400 airplane."),
        ("flamingo", {"template": "a photo of a {}. "}, "a photo of a flamingo."),
        ("flamingo", {"template": "{} . .."}, "flamingo."),
        ("___", {"template": "object."}, "object."),
        ("Müller's {x}", {}, "müller's {x}."),
    ],
)
def test_a_class_name_becomes_lower_case_words_and_one_full_stop(label_name, keywords, told):
    assert caption(label_name, **keywords) == told


@pytest.mark.parametrize(
    ("label_name", "keywords"),
    [
        ("", {}),
        ("___", {}),
        (" . ", {}),
        ("747-400", {}),
        ("___", {"template": "a photo of a {}."}),
        ("cup", {"overrides": {"cup": " "}}),
        ("cup", {"template": "."}),
    ],
)
def test_a_class_name_without_a_word_is_an_error_that_names_it(label_name, keywords):
    with pytest.raises(ValueError, match=rf"class '{label_name}' has no word to look for"):
        caption(label_name, **keywords)


def test_config_yaml_s_detectors_have_the_files_of_one_commit_each(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    for name, row in config["detectors"].items():
        hub = name.replace("_", "-")
        commits = set()
        for file, weights in row["weights"].items():
            urls = [source["url"] for source in config["weights"][weights]["sources"]]
            (url,) = [url for url in urls if f"/{hub}/resolve/" in url]
            assert url.endswith(f"/{file}")
            commits.add(url.split("/resolve/")[1].split("/")[0])
        assert len(commits) == 1
        assert len(commits.pop()) == 40
    for weights, sha256 in HUB_SHA256.items():
        assert config["weights"][weights]["sha256"] == sha256
