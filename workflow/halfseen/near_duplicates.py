"""Near-duplicates: images that show one photograph, found by what they look like.

Three tests, each far cheaper than the next and put only to the pairs that passed the one before:
the perceptual hashes of two thumbnails differ in at most 18 of 63 bits; the thumbnails, 32 px wide
and high, correlate under a small shift; and, for images that have the pixels, so do thumbnails of
96 px. Hash and transform are a few lines of SciPy, which is here anyway: the hash of the package
`imagehash` is the same one but has no way to compare 60,000 with each other, and a hash alone will
not do, as these numbers show.

Measured on 8,000 images of CIFAR-100, 1,617 of Caltech-101, 300 of FGVC-Aircraft and 210 of DTD;
all pairs that are counted here were looked at:
- CIFAR-100's twins (ciFAIR, Barz and Denzler 2020) are shifted, recoloured and zoomed: the hashes
  of the two differ in 2 to 20 bits. Up to 6 bits all 8 pairs are twins; up to 10, some 20 of 53; up
  to 12 there are 291 pairs and up to 18 there are 48,000, nearly all unrelated. Of these, 30
  correlate 0.76 or more: 24 twins, and 6 pairs that look alike (clocks, pears, butterflies). At
  0.70 it is 54 pairs with 2 more twins; at 0.85, 11 pairs.
- Aircraft on blue sky are why there is a third test: different ones correlate up to 0.86 at 32 px
  but only 0.71 at 96 px; the one pair of the same aircraft in the same pose 0.88.
- In Caltech-101, copies (drawings in other colours, photographs saved twice) correlate 0.70 to 0.98
  at 96 px and 0.72 or more at 32 px, different things up to 0.55. DTD has no pair.
A pair that is found wrongly costs a little freedom in drawing the folds, one that is missed puts a
photograph on both sides of one. Missed are twins that are zoomed or shifted by more than a few per
cent, or mirrored; crops have a search of their own (halfseen.crops).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SMALL_PX, FINE_PX = 32, 96
HASH_SIDE = 8
MAX_DISTANCE = 18
MIN_CORRELATION = 0.76
# What the small thumbnails of larger images must reach before the fine ones are compared.
PROMISING = 0.70
# Standard deviation, in grey levels, below which a thumbnail shows nothing that could be compared.
FLAT = 2
# Added to the norm of a patch, in grey levels: faint noise on a flat ground must not correlate.
FAINT = 20
BLOCK = 2048

PAIRS = ["a", "b", "distance", "correlation"]


def thumbnail(image):
    """A grey uint8 thumbnail of an image (h, w, 3) uint8: 96 px wide and high, 32 for small ones.

    The shape of the image is not kept, so that copies of another shape are compared too. An image
    is small if its shorter side is under 96 px.
    """
    side = FINE_PX if min(image.shape[:2]) >= FINE_PX else SMALL_PX
    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize((side, side), Image.Resampling.BOX))


def near_duplicates(thumbnails, n_threads=1):
    """Pairs of near-duplicates in a list of thumbnails: a table of rows a < b, positions in it.

    `distance` is the number of bits, 0 to 63, in which the perceptual hashes differ; `correlation`
    that of the larger thumbnails that both have. Flat thumbnails, such as of images of one colour,
    have no pair. All pairs are compared, block by block: O(n^2) time, 70 s for 60,000 small images
    on two cores, and O(n) memory, 2 GB for those.
    """
    shown = [i for i, image in enumerate(thumbnails) if image.std() >= FLAT]
    if len(shown) < 2:
        return pd.DataFrame(columns=PAIRS)
    thumbnails = [thumbnails[i] for i in shown]
    small = np.stack([_small(image) for image in thumbnails])
    a, b, distance = _close_hashes(perceptual_hashes(small), MAX_DISTANCE)
    correlation = _shifted_correlation(small, a, b, n_threads)
    has_fine = np.array([len(image) == FINE_PX for image in thumbnails])
    fine = has_fine[a] & has_fine[b]
    kept = correlation >= np.where(fine, PROMISING, MIN_CORRELATION)
    a, b, distance, correlation, fine = (
        column[kept] for column in (a, b, distance, correlation, fine)
    )
    used, places = np.unique([a[fine], b[fine]], return_inverse=True)
    if len(used):
        large = np.stack([thumbnails[i] for i in used]).astype(np.float32)
        correlation[fine] = _shifted_correlation(large, *places.reshape(2, -1), n_threads)
    shown = np.array(shown)
    pairs = pd.DataFrame(
        {"a": shown[a], "b": shown[b], "distance": distance, "correlation": correlation}
    )
    return pairs[correlation >= MIN_CORRELATION].sort_values(["a", "b"], ignore_index=True)


def perceptual_hashes(thumbnails):
    """The 63-bit hash (n,) uint64 of thumbnails (n, 32, 32): ignores brightness and contrast.

    Which of the 63 lowest frequencies of the cosine transform, the mean left out, lie above their
    median: pHash (Zauner 2010).
    """
    waves = dctn(thumbnails.astype(np.float32), axes=(1, 2), norm="ortho")
    waves = waves[:, :HASH_SIDE, :HASH_SIDE].reshape(len(waves), -1)
    bits = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def merged_groups(groups, a, b):
    """`groups` (n,), those of images a[i] and b[i] joined; they take the name of the first."""
    groups = np.asarray(groups, dtype=object)
    names, numbers = np.unique(groups, return_inverse=True)
    a, b = np.asarray(a, dtype=int), np.asarray(b, dtype=int)
    links = coo_array((np.ones(len(a)), (numbers[a], numbers[b])), shape=(len(names),) * 2)
    _, components = connected_components(links, directed=False)
    _, first, places = np.unique(components[numbers], return_index=True, return_inverse=True)
    return groups[first][places].tolist()


def _small(image):
    """The 32 px thumbnail (32, 32) float32 of either size."""
    step = len(image) // SMALL_PX
    blocks = image.reshape(SMALL_PX, step, SMALL_PX, step)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _close_hashes(hashes, max_distance):
    """Positions a < b and the distance of all pairs of hashes that differ in few enough bits."""
    found = []
    for start in range(0, len(hashes), BLOCK):
        rows = hashes[start : start + BLOCK, None]
        for other in range(start, len(hashes), BLOCK):
            distance = np.bitwise_count(rows ^ hashes[None, other : other + BLOCK])
            a, b = np.nonzero(distance <= max_distance)
            later = a + start < b + other
            a, b = a[later], b[later]
            found.append(
                (
                    (a + start).astype(np.int32),
                    (b + other).astype(np.int32),
                    distance[a, b].astype(np.int32),
                )
            )
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _shifted_correlation(thumbnails, a, b, n_threads):
    """How alike (m,) the pairs of thumbnails (n, s, s) are under shifts of up to s / 8, at most 1.

    The inner patch of one, 3 / 4 as wide, is compared with every patch of the other and the other
    way round, after light and shade coarser than 3 px were taken out.
    """
    side = thumbnails.shape[1]
    shift = side // 8
    detail = gaussian_filter(thumbnails, (0, 0.5, 0.5)) - gaussian_filter(thumbnails, (0, 3, 3))
    inner = slice(shift, side - shift)
    patch = np.zeros_like(detail)
    patch[:, inner, inner] = detail[:, inner, inner]
    patch[:, inner, inner] -= patch[:, inner, inner].mean(axis=(1, 2), keepdims=True)
    blocks = range(0, len(detail), BLOCK)
    norms = np.concatenate([_patch_norms(detail[i : i + BLOCK], shift) for i in blocks]) + FAINT
    patches, whole = rfft2(patch).conj(), rfft2(detail)

    def best(i, j):
        products = irfft2(patches[i] * whole[j], s=(side, side))
        # shifts from -s / 8 to s / 8; a patch that moves so far stays inside the thumbnail
        products = np.roll(products, (shift, shift), axis=(1, 2))
        products = products[:, : 2 * shift + 1, : 2 * shift + 1]
        own = norms[i, shift, shift, None, None]
        return (products / (own * norms[j])).max(axis=(1, 2))

    def of_block(start):
        rows = slice(start, start + block)
        return np.maximum(best(a[rows], b[rows]), best(b[rows], a[rows]))

    block = max(1, BLOCK * SMALL_PX**2 // side**2)
    with ThreadPoolExecutor(n_threads) as pool:
        parts = list(pool.map(of_block, range(0, len(a), block)))
    return np.concatenate([np.empty(0, np.float32), *parts])


def _patch_norms(detail, shift):
    """The norm (n, 2 shift + 1, 2 shift + 1) of every patch of `detail` (n, s, s), mean removed."""
    side = detail.shape[1] - 2 * shift
    padded = np.pad(detail.astype(np.float64), ((0, 0), (1, 0), (1, 0)))
    sums = []
    for power in (1, 2):
        table = (padded**power).cumsum(axis=1).cumsum(axis=2)
        below, above = table[:, side:], table[:, :-side]
        sums.append(
            below[:, :, side:] - below[:, :, :-side] - above[:, :, side:] + above[:, :, :-side]
        )
    variance = sums[1] - sums[0] ** 2 / side**2
    return np.sqrt(np.maximum(variance, 0)).astype(np.float32)
