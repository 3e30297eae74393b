"""Every variant of every image through one encoder."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from halfseen.devices import default_batch_size
from halfseen.encoder_checks import FirstBatch, frozen
from halfseen.progress import progress_bar
from halfseen.recipes import own_view
from halfseen.shards import read_batches, read_by_image
from halfseen.variants import hide, visible_pixels

# A multiple of the batches that a CPU and a GPU take where the row names none.
COMMON_BATCH = 256


def encode_variants(shards, image_ids, load, batch_size, what):
    """A function for `features.write_features`: encodes what is missing of the images `image_ids`.

    `load()` gives the encoder and is called only when something is to be computed; `batch_size`
    None is the device's own. Memory does not grow with the number of images. The function raises
    ValueError for an encoder that is not frozen or whose features depend on the batch or on the
    order, and says in which `precision` they were computed.
    """

    def encode(store, variants):
        encoder = load()
        size = batch_size or default_batch_size(encoder.device)
        batches = read_batches(shards, image_ids, size)
        with frozen(encoder, what):
            return _encode_batches(store, batches, len(image_ids), variants, encoder, size, what)

    return encode


def require_same_images(shards, image_ids):
    """Raise ValueError unless the shards hold exactly these images."""
    held, ids = read_by_image(shards, "image_digests").keys(), image_ids
    lacking = [image_id for image_id in ids if image_id not in held]
    if lacking:
        raise ValueError(
            f"the shards lack {len(lacking)} images of the manifest, among them {lacking[0]!r}"
        )
    unknown = held - set(ids)
    if unknown:
        raise ValueError(
            f"the shards hold images that the manifest lacks, among them {min(unknown)!r}"
        )


def part_of(n, part, n_parts, batch_size):
    """The rows of `n` images, a slice, that one of `n_parts` jobs encodes: whole batches.

    So every image is encoded in the batch that one job for all would put it in, on a CPU and on a
    GPU, and every number is the same. Parts beyond the last batch are empty.
    """
    size = batch_size or COMMON_BATCH
    n_batches = -(-n // size)
    start, stop = (n_batches * place // n_parts * size for place in (part, part + 1))
    return slice(min(start, n), min(stop, n))


class WithinMemory:
    """Encodes batches in parts that fit the device's memory, found by halving."""

    def __init__(self, encoder, size, what):
        self.encoder, self.size, self.what = encoder, size, what

    def encode(self, pixels, visible, fill):
        """Representations (b, d) of normalised pixels (b, 3, h, w) where `visible` (b, h, w).

        Out of memory, a part is halved, for good, and tried again; what is done is kept. Raises
        RuntimeError where a single image does not fit.
        """
        parts, start = [], 0
        while start < len(pixels):
            rows = slice(start, start + self.size)
            part = self._encode_or_none(pixels[rows], visible[rows], fill)
            if part is None:
                self._halve()
            else:
                parts.append(part)
                start += len(part)
        return np.concatenate(parts)

    def _encode_or_none(self, pixels, visible, fill):
        try:
            return self.encoder.encode(hide(pixels, visible, fill), visible)
        except torch.OutOfMemoryError:
            # Halving waits until this frame and the tensors that the error holds are gone.
            return None

    def _halve(self):
        if self.size == 1:
            raise RuntimeError(
                f"{self.what}: not even one image fits the memory of {self.encoder.device}; give "
                "its row `precision: bfloat16`, or run on a GPU with more memory or on the CPU"
            )
        self.size //= 2
        torch.cuda.empty_cache()
        print(f"{self.what}: out of memory, {self.size} images a batch from here on", flush=True)


def _encode_batches(store, batches, n, variants, encoder, size, what):
    """Store the features of `variants` batch by batch; a dict that says how it was done."""
    device, fitting = torch.device(encoder.device), WithinMemory(encoder, size, what)
    start, first = 0, None
    with progress_bar(n * len(variants), what) as progress:
        for ids, *tensors in prefetched(_prepared(batches, variants, encoder.recipe, device)):
            images, *shown = (tensor.to(device, non_blocking=True) for tensor in tensors)
            pixels = encoder.normalised(images)
            for (name, variant), visible in zip(variants.items(), shown, strict=True):
                features = fitting.encode(pixels, visible, variant["fill"])
                store(name, start, features)
                progress.update(len(ids))
                if first is None:
                    again = partial(_encode_again, pixels, visible, variant["fill"])
                    first, attributes = _checked(again, features, fitting, name)
            start += len(ids)
    first.check_once_more()
    return attributes


def _checked(again, features, fitting, variant):
    """The first batch, of one variant, checked, and the attributes that say how exact it is."""
    what = f"{fitting.what}, variant {variant!r}"
    encoder, exact = fitting.encoder, fitting.encoder.precision == "float32"
    first = FirstBatch(partial(again, fitting), features, asserted=exact, what=what)
    apart = {"compared_on": variant, "batch_difference": first.check_batch_and_order()}
    if encoder != encoder.plain():
        plain = WithinMemory(encoder.plain(), fitting.size, what)
        everything = range(len(features))
        apart["float32_difference"], apart["float32_cosine"] = first.check_against(
            again(plain, everything)
        )
    # What is asserted need not be recorded.
    return first, {"precision": encoder.precision} | ({} if exact else apart)


def _encode_again(pixels, visible, fill, fitting, rows):
    rows = list(rows)
    return fitting.encode(pixels[rows], visible[rows], fill)


def _prepared(batches, variants, recipe, device):
    """Batches as tensors on the CPU: ids, the model's view, and what each variant shows of it.

    For a GPU they are page-locked, so that they are copied while it computes.
    """
    for ids, images, masks in batches:
        images, masks = own_view(torch.from_numpy(images), masks, recipe)
        shown = [visible_pixels(row["keep"], masks, row["radius"]) for row in variants.values()]
        tensors = [images, *map(torch.from_numpy, shown)]
        yield ids, *(tensor.pin_memory() if device.type == "cuda" else tensor for tensor in tensors)


def prefetched(batches):
    """`batches`, the next one being made in a thread of its own while one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch
