"""The networks that timm and torchvision can build, listed so that a row is checked without them.

`python -m halfseen.network_list workflow/resources/networks.csv` writes the list anew, in minutes.
"""

import sys
import warnings
from contextlib import suppress

import pandas as pd

from halfseen.files import write_table
from halfseen.networks import TIMM_POOLS, own_pooling


def timm_rows():
    """A dict of library, version, name, poolings and dimensions for every network of timm.

    `poolings` are the words of a row's `pooling`, with spaces between, that the network can be made
    with; `dimensions` that of its representation. Nothing is computed: the networks have no memory.
    """
    import timm

    for name in timm.list_models():
        poolings, dimensions = [], ""
        for word, pool in TIMM_POOLS.items():
            with suppress(AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
                network = _without_memory(timm.create_model, name, num_classes=0, global_pool=pool)
                poolings.append(word)
                dimensions = getattr(network, "head_hidden_size", None) or network.num_features
        yield {
            "library": "timm",
            "version": timm.__version__,
            "name": name,
            "poolings": " ".join(poolings),
            "dimensions": dimensions,
        }


def torchvision_rows():
    """The same of torchvision's classifiers; `dimensions` is what their last layer sees."""
    import torch
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        network = _without_memory(torchvision.models.get_model, name, weights=None)
        linear = [each for each in network.modules() if isinstance(each, torch.nn.Linear)]
        yield {
            "library": "torchvision",
            "version": torchvision.__version__.partition("+")[0],
            "name": name,
            "poolings": own_pooling(network) or "",
            "dimensions": linear[-1].in_features if linear else "",
        }


def _without_memory(build, *arguments, **options):
    """What `build` gives, without memory where it allows that."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return build(*arguments, **options)
        except NotImplementedError:
            return build(*arguments, **options)


if __name__ == "__main__":
    write_table(sys.argv[1], pd.DataFrame([*timm_rows(), *torchvision_rows()]))
