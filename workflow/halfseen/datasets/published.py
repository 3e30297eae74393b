"""What published data sets have in common: declared counts, checked files, a small part of them."""

from collections import defaultdict
from functools import cached_property
from pathlib import Path

import numpy as np

from halfseen.datasets.decoding import read_image


class PublishedDataset:
    """Images that others have published, as they lie below `root`; a kind says how.

    `n_images` and `n_classes` are what the row declares, and `samples` holds the files to it (null:
    nothing is declared). `check_files` has the files compared with what was published, as far as
    that is known; off for subsets. `images_per_class` keeps at most so many images of a class,
    drawn with `seed` after the counts were checked, for small trials (null: all): one of each
    published part, then in the parts' proportion.

    Opening does nothing: the files are listed at the first use, and checked by `samples` alone, so
    that the jobs that only read images do not pay for it.
    """

    layout = "images"  # the files that a kind expects below `root`

    def __init__(
        self, root, n_images=None, n_classes=None, check_files=True, images_per_class=None, seed=0
    ):
        self.root = Path(root)
        self.declared = {"images": n_images, "classes": n_classes}
        self.check_files = check_files
        self.images_per_class = images_per_class
        self.seed = seed
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: {root} is no folder; expected {self.layout} in it")

    def listed(self):
        """All images in a fixed order: pairs of a Sample and what `read` needs to find its image.

        Reads lists, never images.
        """
        raise NotImplementedError

    def read(self, where):
        """The image (h, w, 3) uint8 RGB of one pair of `listed`."""
        raise NotImplementedError

    def verify(self):
        """Raise ValueError or FileNotFoundError where files are not those that were published."""
        raise NotImplementedError

    def samples(self):
        """All images, those of training, validation and test together, or the part asked for."""
        if self.check_files:
            self.verify()
        samples = [sample for sample, _ in self._listed]
        found = {
            "images": len(samples),
            "classes": len({sample.label_name for sample in samples}),
        }
        for what, declared in self.declared.items():
            if declared not in (None, found[what]):
                raise ValueError(
                    f"{self.root} holds {found[what]:,} {what} but the row declares n_{what}: "
                    f"{declared}; complete the data, or correct the row if this is a subset"
                )
        return samples if self.images_per_class is None else self._drawn(samples)

    def image(self, image_id):
        """The image as (h, w, 3) uint8 RGB."""
        if image_id not in self._where:
            raise KeyError(
                f"{self.root} has no image {image_id!r}; it was changed after its manifest was "
                f"written: write that anew"
            )
        return self.read(self._where[image_id])

    def mask(self, image_id):
        """None: these data sets have no exact mask."""
        return

    @cached_property
    def _listed(self):
        return list(self.listed())

    @cached_property
    def _where(self):
        return {sample.image_id: where for sample, where in self._listed}

    def _drawn(self, samples):
        """At most `images_per_class` of a class: one of each published part, then in proportion."""
        members = defaultdict(lambda: defaultdict(list))
        for number, sample in enumerate(samples):
            members[sample.label_name][sample.split].append(number)
        rng = np.random.default_rng(self.seed)
        kept = set()
        for name in sorted(members):
            turns = [
                (turn / len(part), rng.random(), number)
                for part in members[name].values()
                for turn, number in enumerate(rng.permutation(part).tolist())
            ]
            kept.update(number for *_, number in sorted(turns)[: self.images_per_class])
        return [sample for number, sample in enumerate(samples) if number in kept]


class PublishedFiles(PublishedDataset):
    """A published data set of one file an image: `listed` pairs each Sample with its Path."""

    def read(self, where):
        """The decoded file."""
        return read_image(where)

    def verify(self):
        """Every listed file is there."""
        missing = [where for _, where in self._listed if not where.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing):,} of {len(self._listed):,} files that {self.root} lists are not "
                f"there, among them {missing[0]}; unpack the archive again, or set check_files: "
                f"false for a subset"
            )
