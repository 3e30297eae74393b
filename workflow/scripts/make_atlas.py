"""The atlas: one page with a study's tables, its images and how every number was made."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from halfseen.atlas import write_atlas
from halfseen.datasets.credits import credits_of
from halfseen.manifest import read_manifest
from halfseen.mask_quality import meaning_text
from halfseen.provenance import config_text, package_versions
from halfseen.tables import read_table

paths, params = snakemake.input, snakemake.params
study = dict(params.study)
study["config"] = config_text(params.config)
study["credits"] = credits_of(params.kinds)
study["mask_meaning"] = meaning_text(params.mask_notes, study["labels"])
study["commit"] = params.run.commit
study["packages"] = package_versions(params.packages)
study["weights"] = [yaml.safe_load(Path(path).read_text("utf-8")) for path in paths.weights]
study["made"] = params.made
tables = {name: read_table(path) for name, path in paths.items() if isinstance(path, str)}
shards = {name: [p for p in paths.shards if f"/{name}/" in p] for name in study["datasets"]}
own = [("control", "==", "none"), ("centering", "==", "raw")]
images = {
    "manifests": dict(zip(study["datasets"], map(read_manifest, paths.manifests), strict=True)),
    "shards": shards,
    "predictions": (pd.read_parquet(path, filters=own) for path in paths.predictions),
}
parts = Path(snakemake.scriptdir).parent / "resources/atlas"
rng = np.random.default_rng(study["seed"])
shown, of = write_atlas(snakemake.output.html, parts, study, tables, images, rng)
print(f"{shown} of {of} images, {Path(snakemake.output.html).stat().st_size:,} bytes")
