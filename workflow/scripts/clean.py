"""Name what no study of the configuration needs, and remove it where that is asked for."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.study.removal import cleanup_text, remove

files = snakemake.params.files
for path in files if snakemake.params.is_removed else ():
    remove(path)
print(cleanup_text(files, snakemake.params.is_removed), end="")
