"""torchvision's own loaders: opened by the class name, with errors that say the remedy."""

from pathlib import Path

from halfseen.spelling import did_you_mean


def open_part(name, root, adapt=None, **keywords):
    """torchvision's data set `name` at `root`, opened with the keyword arguments of one part.

    `adapt` makes the class that is opened out of torchvision's own; None takes that as it is.
    Raises ValueError for a name that torchvision does not have, with the nearest one that it has,
    and for a root or an argument that its loader refuses, with what the loader says.
    """
    opened = _loader(name) if adapt is None else adapt(_loader(name))
    try:
        return opened(root=str(root), **keywords)
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"torchvision.datasets.{name} cannot open {root} with {keywords or 'no argument'}: "
            f"{error}"
        ) from error


def download(name, parts, folder, offline=False):
    """Fetch the `parts` of torchvision's data set `name` into `folder`, with its own downloader.

    It holds the files to their md5 but knows neither mirrors nor resumption. With `offline` it
    raises OSError and asks nobody.
    """
    if offline:
        raise OSError(
            f"offline: true forbids to fetch torchvision's data set {name!r}; put what "
            f"torchvision.datasets.{name} reads into a folder and name it as root in the row"
        )
    Path(folder).mkdir(parents=True, exist_ok=True)
    for keywords in parts:
        open_part(name, folder, download=True, **keywords)


def _loader(name):
    import torchvision.datasets  # seconds, and most kinds do without

    if name not in torchvision.datasets.__all__:
        raise ValueError(
            f"torchvision has no data set {name!r}"
            f"{did_you_mean(name, torchvision.datasets.__all__)}"
        )
    return getattr(torchvision.datasets, name)
