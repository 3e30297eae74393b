"""What every extraction asserts of its encoder: frozen, and the same whatever the batch."""

import hashlib
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

# Far above rounding, far below what a network in training mode or one with state would show.
TOLERANCE = 1e-5


@contextmanager
def frozen(encoder, what):
    """Assert that a block leaves the encoder as it was: in evaluation mode, no tensor changed.

    Looks at every parameter and buffer before and after. Raises ValueError that names them.
    """
    _require_evaluation_mode(encoder.network, what)
    before = _tensor_digests(encoder.network)
    yield
    _require_evaluation_mode(encoder.network, what)
    after = _tensor_digests(encoder.network)
    changed = [name for name in after if after[name] != before.get(name)]
    if changed:
        raise ValueError(
            f"{what}: the extraction changed {len(changed)} tensors of its network, among them "
            f"{changed[0]!r}; an encoder must be frozen: let its forward pass update no buffer"
        )


class FirstBatch:
    """The first batch of an extraction, encoded again in ways that must not change a feature.

    `encode(rows)` gives the features of the batch's images at `rows`, in that order; `features`
    are those that were stored. A difference is the largest one of any feature, as a share of max(1,
    largest magnitude in the batch). Where it is `asserted`, as it is in float32, one of more than
    `TOLERANCE` raises ValueError; where not, it is only printed and returned.
    """

    def __init__(self, encode, features, asserted, what):
        self.encode, self.features, self.asserted, self.what = encode, features, asserted, what
        self.largest = max(1.0, float(np.abs(features).max()))

    def check_batch_and_order(self):
        """The largest difference of an image alone, and of the batch backwards, to the batch."""
        n = len(self.features)
        remedy = (
            "its network looks at the other images of a batch, at an image's place in it or at "
            "earlier calls; take one whose features depend on the image alone"
        )
        alone = self._apart(
            self.encode([0]), self.features[:1], f"an image alone and in a batch of {n}", remedy
        )
        backwards = list(reversed(range(n)))
        order = self._apart(
            self.encode(backwards)[backwards], self.features, "a batch and its reverse", remedy
        )
        return max(alone, order)

    def check_once_more(self):
        """The difference of the first image to what it was, after all else has been encoded."""
        remedy = "its network keeps state between calls; let it depend on its input alone"
        how = "the first image at the end and at the beginning"
        return self._apart(self.encode([0]), self.features[:1], how, remedy)

    def check_against(self, plain):
        """The difference to features of the plain float32 network, and the smallest cosine."""
        how = "the features with and without the options of its row"
        apart = self._apart(self.features, plain, how, "set `compile: false` in its row")
        return apart, smallest_cosine(self.features, plain)

    def _apart(self, found, expected, how, remedy):
        apart = float(np.abs(found - expected).max()) / self.largest
        print(f"{self.what}: {how} differ by {apart:.2g}", flush=True)
        # Written so that NaN is refused too.
        if self.asserted and not apart <= TOLERANCE:
            raise ValueError(
                f"{self.what}: {how} differ by {apart:.2g} of the largest feature, more than "
                f"{TOLERANCE:.0e}; {remedy}"
            )
        return apart


def smallest_cosine(found, expected):
    """The smallest cosine of two representations (n, d) of one image; 1 where both are zero."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    products = (found * expected).sum(axis=1)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    cosines[~found.any(axis=1) & ~expected.any(axis=1)] = 1
    return float(cosines.min())


def _require_evaluation_mode(network, what):
    modules = network.named_modules() if isinstance(network, nn.Module) else []
    training = [name or type(module).__name__ for name, module in modules if module.training]
    if training:
        raise ValueError(
            f"{what}: {len(training)} modules of its network are in training mode, among them "
            f"{training[0]!r}; call eval() on it, and let no forward pass call train()"
        )


def _tensor_digests(network):
    """{name: sha256} of every parameter and buffer, those that state_dict leaves out as well."""
    if not isinstance(network, nn.Module):
        return {}
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: _digest(tensor) for name, tensor in tensors.items()}


def _digest(tensor):
    plain = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(plain.view(torch.uint8).numpy()).hexdigest()
