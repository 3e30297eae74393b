"""The workflow in a copy that tests may edit, and a study that it runs."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from halfseen.config import check_config, take_labels
from halfseen.study.code import Code
from halfseen.study.study import Study as ConfiguredStudy


def copy_workflow(root, folder):
    """`folder`, now with all that a run needs of the repository at `root`."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(root / "workflow", folder / "workflow")
    shutil.copy(root / "Snakefile", folder)
    shutil.copytree(root / "envs", folder / "envs")
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


@dataclass
class Study:
    """A folder with a config.yaml and results, and the copy of the workflow that makes them."""

    workflow: Path
    folder: Path

    def run(self, *arguments, expect_success=True, **environment):
        """Run Snakemake on two cores, with more variables of the environment; what it printed."""
        environment = os.environ | environment
        command = self.command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        output = done.stdout + done.stderr
        assert (done.returncode == 0) == expect_success, output
        return output

    def command(self, *arguments):
        """The words that run Snakemake on two cores."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", self.workflow / "Snakefile"]
        return list(map(str, [*command, "--directory", self.folder, "--cores", "2", *arguments]))

    def jobs(self, *arguments):
        """How many jobs of each rule a run starts."""
        return started_jobs(self.run(*arguments))

    def edit_config(self, change):
        """Apply `change` to the configuration."""
        config = self.config()
        change(config)
        text = yaml.safe_dump(config, sort_keys=False)
        (self.folder / "config.yaml").write_text(text)

    def config(self):
        """The configuration as it is now."""
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    def configured(self):
        """The study of the configuration as it is now."""
        config = self.config()
        check_config(config, self.workflow / "workflow/schemas/config.schema.yaml")
        take_labels(config)
        code = Code(self.workflow / "workflow/halfseen")
        return ConfiguredStudy(config, results=str(self.folder / "results"), code=code)

    def path(self, stage, file, **names):
        """The path, from the folder on, of a file of a stage."""
        made = self.configured().artifact(stage, names)
        return str(Path(made.path(file)).relative_to(self.folder))

    def append(self, file, text):
        """Append `text` to a file of the workflow."""
        path = self.workflow / "workflow" / file
        path.write_text(path.read_text() + text)

    def replace(self, file, old, new):
        """Replace the only place of `old` in a file of the workflow."""
        path = self.workflow / "workflow" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def bytes_of(self, pattern):
        """The bytes of every result that matches `pattern`, by path."""
        found = sorted((self.folder / "results").glob(pattern))
        assert found, f"nothing matches {pattern}"
        return {path: path.read_bytes() for path in found}


def started_jobs(output):
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE))
