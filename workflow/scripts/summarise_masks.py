"""Quality of the masks of every data set of one study, and its fallbacks by class."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.files import write_table, write_text
from halfseen.mask_quality import (
    fallbacks_by_class,
    fallbacks_text,
    meaning_text,
    summarise_masks,
    summary_text,
)
from halfseen.pages import table_page
from halfseen.tables import read_table

masks, labels = read_table(snakemake.input.masks), snakemake.params.labels
summary, counts = summarise_masks(masks), fallbacks_by_class(masks)
write_table(snakemake.output.csv, summary)
write_table(snakemake.output.fallbacks_csv, counts)
note = (
    "Passing: given by the prompt itself, with a predicted IoU of at least "
    "{min_predicted_iou} and a stability of at least {min_stability}. Agreement is the IoU with "
    "the mask of a second prompt; IoU is that with the exact mask, where an image has one. "
).format(**snakemake.params.passing) + meaning_text(snakemake.params.notes, labels)
write_text(snakemake.output.html, table_page("Masks", summary_text(summary, labels), note))
note = "Classes in which a mask of the prompt was refused and another one stands in, worst first."
text = fallbacks_text(counts, labels)
write_text(snakemake.output.fallbacks_html, table_page("Fallbacks by class", text, note))
print(summary.to_string())
