#!/bin/sh
# Install the packages of the lock file for the Python that is named: `sh envs/install_packages.sh python3`.
#
# The one place where a build of torch is chosen: the Makefile and the recipes of both containers come here, each with
# its own TORCH_INDEX. `lock` is the lock file's build, which on Linux runs on CPUs and, with CUDA, on NVIDIA's GPUs;
# anything else is the address of an index with other builds of the same version: for CPUs alone, ROCm or another CUDA.
# The lock file holds everything to its hashes, but not such a build, which it does not know.
set -eu
python=$1
lock=$(dirname "$0")/../requirements.lock
"$python" -m pip install --quiet --require-hashes --requirement "$lock"
if [ "${TORCH_INDEX:-lock}" != lock ]; then
  builds=$(sed -n 's/^\(torch\(vision\)\{0,1\}==[^ ;\\]*\).*/\1/p' "$lock")
  # shellcheck disable=SC2086 # two words: torch and torchvision
  "$python" -m pip install --quiet --force-reinstall --no-deps --index-url "$TORCH_INDEX" $builds
fi
