"""Name what rows that are gone have left on disk, and delete it where that is asked for."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.orphans import delete, delete_variants, orphan_variants, orphans

params = snakemake.params
verb = "deleted" if params.delete else "left over"
for path in orphans(params.folder, params.patterns, params.rows):
    if params.delete:
        delete(path)
    print(f"{verb}: {path}")
for path in params.features:
    names = orphan_variants(path, params.variants)
    if names and params.delete:
        delete_variants(path, names)
    for name in names:
        print(f"{verb}: variant {name} in {path}")
