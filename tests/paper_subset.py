"""The paper's study on real parts of its data sets, where its weights cannot be had.

    HALFSEEN_DATA=... python tests/paper_subset.py FOLDER [--images-per-class N] [--cores N]

Runs the study `paper_subset` in FOLDER and checks its Table 1. The five models of the paper get
random weights, in files of the published layouts and of reduced size, so that they take the way of
the real ones; their labels say so. EfficientNet-Lite0, MobileSAM and the images are real.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import yaml
from official_checkpoints import write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
STUDY = "paper_subset"
RANDOM = ["supervised", "swav", "vicreg", "mae", "dinov2_vitg14"]
# A trial on few images: what random networks see is so collinear that a weak penalty takes the
# probes hundreds of iterations, and pairings at random serve to show that they are drawn.
TRIAL = {
    "probes": {"nested": {"costs": {"lowest": 1e-5, "highest": 0.1, "count": 5}}},
    "similarity": {"permutations": 19},
}


def random_weights(config, folder):
    """Write the files of `RANDOM` to `folder`: what must change in `config` for them."""
    models, weights = {}, {}
    for seed, name in enumerate(RANDOM):
        row = config["models"][name]
        path = folder / config["weights"][row["weights"]]["file"]
        arguments = write_checkpoint(name, path, seed=seed)
        models[name] = {
            "label": f"{row['label']}, small and random",
            "arguments": row.get("arguments", {}) | arguments,
        }
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        weights[row["weights"]] = {"sha256": sha256, "size_bytes": len(content)}
    return {"local_folder": str(folder), "models": models, "weights": weights}


def prepare(folder, images_per_class):
    """Give `folder` a config.yaml, the weights, and changes.yaml with what they change."""
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "config.yaml", folder)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    changes = random_weights(config, folder / "weights")
    if images_per_class:
        names = config["studies"][STUDY]["datasets"]
        changes["datasets"] = {name: {"images_per_class": images_per_class} for name in names}
        changes |= TRIAL
    mobile_sam = ROOT / "results/weights/mobile_sam.ckpt"
    if mobile_sam.is_file():  # else it is fetched
        shutil.copy(mobile_sam, folder / "weights" / config["weights"]["mobile_sam"]["file"])
    (folder / "changes.yaml").write_text(yaml.safe_dump(changes))


def run(folder, cores):
    """Run the study in a prepared `folder`."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    words += ["--directory", folder, "--configfile", folder / "changes.yaml"]
    words += ["--config", f"study={STUDY}", "--cores", cores]
    subprocess.run([str(word) for word in words], check=True)


def check(folder, least):
    """Print Table 1; AssertionError unless it is whole and EfficientNet-Lite0 sees.

    On Caltech-101's originals it must reach `least`, on those of every data set it must beat the
    statistics of the colours.
    """
    table = pd.read_csv(folder / f"results/{STUDY}/table1.csv")
    keys = ["protocol", "dataset", "model", "variant"]
    every = table.set_index(keys).balanced_accuracy_mean
    print(every.unstack("variant", sort=False).round(2).to_string())
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["studies"][STUDY]
    names = [study[name] for name in ("probes", "datasets", "models", "variants")]
    assert set(every.index) == set(product(*names))
    cells = every[study["probes"][0]]
    assert cells["caltech101_subset", "efficientnet_lite0", "original"] >= least
    originals = cells.unstack("variant").original.unstack("model")
    assert (originals.efficientnet_lite0 > originals.image_statistics).all()


if __name__ == "__main__":
    if "HALFSEEN_DATA" not in os.environ:
        sys.exit("HALFSEEN_DATA is not set; it names the folder of the parts of the data sets")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images-per-class", type=int, help="at most so many; all without it")
    parser.add_argument("--cores", default="all")
    asked = parser.parse_args()
    target = asked.folder.resolve()
    prepare(target, asked.images_per_class)
    run(target, asked.cores)
    # 16 images of a class, or as few as the folds allow
    check(target, least=0.6 if asked.images_per_class else 0.85)
