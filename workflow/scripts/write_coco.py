"""The crops and masks of one data set as PNG files and as COCO's annotations."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.coco import write_coco
from halfseen.files import atomic_folder
from halfseen.shards import read_batches
from halfseen.tables import read_table

masks = read_table(snakemake.input.masks)
batches = read_batches(snakemake.input.shards, masks.image_id.tolist(), 64)
with atomic_folder(snakemake.output.folder) as folder:
    write_coco(folder, batches, masks, snakemake.params.description)
print(f"{len(masks)} masks are in {snakemake.output.folder}")
