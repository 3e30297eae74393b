"""The paper's study on real parts of its data sets, where its weights cannot be had.

    HALFSEEN_DATA=... python tests/paper_subset.py FOLDER [snakemake's arguments]

Runs the study `paper_subset` in FOLDER. The five models of the paper get random weights, in files
of the published layouts and of reduced size, so that they take the way of the real ones; their
labels say so. EfficientNet-Lite0, MobileSAM and the images are real.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml
from official_checkpoints import write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
STUDY = "paper_subset"
RANDOM = ["supervised", "swav", "vicreg", "mae", "dinov2_vitg14"]


def random_weights(config, folder):
    """Write the files of `RANDOM` to `folder`: what must change in `config` for them."""
    models, weights = {}, {}
    for name in RANDOM:
        row = config["models"][name]
        path = folder / config["weights"][row["weights"]]["file"]
        arguments = write_checkpoint(name, path)
        models[name] = {
            "label": f"{row['label']}, small and random",
            "arguments": row.get("arguments", {}) | arguments,
        }
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        weights[row["weights"]] = {"sha256": sha256, "size_bytes": len(content)}
    return {"local_folder": str(folder), "models": models, "weights": weights}


def prepare(folder):
    """Give `folder` a config.yaml, the weights, and random.yaml with what they change."""
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "config.yaml", folder)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    changes = random_weights(config, folder / "weights")
    mobile_sam = ROOT / "results/weights/mobile_sam.ckpt"
    if mobile_sam.is_file():  # else it is fetched
        shutil.copy(mobile_sam, folder / "weights" / config["weights"]["mobile_sam"]["file"])
    (folder / "random.yaml").write_text(yaml.safe_dump(changes))


def command(folder, *arguments):
    """The command that runs the study in a prepared `folder`."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    words += ["--directory", folder, "--configfile", folder / "random.yaml"]
    return [str(word) for word in [*words, "--config", f"study={STUDY}", *arguments]]


def check(folder):
    """Print Table 1 and raise AssertionError unless it is whole and EfficientNet-Lite0 sees."""
    table = pd.read_csv(folder / f"results/{STUDY}/table1.csv")
    keys = ["dataset", "model", "variant"]
    cells = table.set_index(keys).balanced_accuracy_mean
    print(cells.unstack("variant", sort=False).round(2).to_string())
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["studies"][STUDY]
    wanted = {(d, m, v) for d in study["datasets"] for m in study["models"]
              for v in study["variants"]}  # fmt: skip
    assert set(cells.index) == wanted
    # 0.93 on 30 of Caltech-101's classes with 30 images each; here it is 101 with 16
    assert cells["caltech101_subset", "efficientnet_lite0", "original"] > 0.85
    originals = cells.unstack("variant").original.unstack("model")
    assert (originals.efficientnet_lite0 > originals.image_statistics).all()


if __name__ == "__main__":
    if "HALFSEEN_DATA" not in os.environ:
        sys.exit("HALFSEEN_DATA is not set; it names the folder of the parts of the data sets")
    target = Path(sys.argv[1]).resolve()
    prepare(target)
    subprocess.run(command(target, *(sys.argv[2:] or ["--cores", "all"])), check=True)
    if "--" not in sys.argv:
        check(target)
