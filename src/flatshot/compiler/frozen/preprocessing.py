"""Where the network begins: behind resizing and normalisation, before the first convolution."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.wiring import Wiring
from flatshot.errors import UnsupportedError
from flatshot.formats.graphdef import Array, Node, Shape

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_RESIZES = ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
# What may stand between the image and the first convolution and is the network's own.
_OF_THE_NETWORK = ("Pad", "PadV2", "MirrorPad", "SpaceToBatchND", "Identity")
# What takes an image out of a batch, or makes a batch of it.
_ONE_IMAGE = ("ExpandDims", "Squeeze", "Unpack", "Reshape", "StridedSlice", "Cast")
# Where an image may come from: who feeds it, a loop over the batch, resizing.
_ORIGINS = (
    "Placeholder",
    "Merge",
    "TensorArrayGatherV3",
    "TensorArrayReadV3",
    "TensorListGetItem",
    "TensorListStack",
    *_RESIZES,
)
_AFFINE = ("Mul", "Add", "AddV2", "Sub", "RealDiv", "Div", "BiasAdd")

STANDARD = (2 / 255, -1.0)
"""Scale and offset of the normalisation that MobileNets are trained with."""


@dataclass(frozen=True)
class Normalisation:
    """What becomes of a pixel from 0 to 255: `pixel * scale + offset`, channel by channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def after(self, before: "Normalisation") -> "Normalisation":
        """The two one after the other."""
        scale = np.array(self.scale)
        return Normalisation(
            _per_channel(scale * np.array(before.scale)),
            _per_channel(scale * np.array(before.offset) + np.array(self.offset)),
        )

    @property
    def is_standard(self) -> bool:
        """Whether it is 2/255 x - 1, but for rounding, to float16 in small models."""
        return bool(
            np.allclose(self.scale, STANDARD[0], rtol=1e-4, atol=0)
            and np.allclose(self.offset, STANDARD[1], rtol=1e-4, atol=0)
        )

    def __str__(self) -> str:
        scale, offset = (_numbers(part) for part in (self.scale, self.offset))
        return f"{scale} x + {offset}".replace("+ -", "- ")


def _numbers(values: tuple[float, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


@dataclass(frozen=True)
class NetworkInput:
    """The tensor where the network begins, and what the graph did to an image before it.

    Attributes:
        tensor: the normalised image, as the network reads it.
        normalisation: how it came about; None where no preprocessing was found.
        size: height and width that the graph resizes to; None where it does not say.
    """

    tensor: str
    normalisation: Normalisation | None
    size: tuple[int, int] | None


def find_input(wiring: Wiring, network: set[str]) -> NetworkInput:
    """Where the network whose nodes are in `network` begins.

    Raises:
        UnsupportedError: it has no convolution, or reads several images.
    """
    constant = Evaluation(wiring.graph, {}).constant
    first = _first_convolutions(wiring, network)
    begins = {_begin(wiring, node) for node in first}
    if len(begins) != 1:
        names = ", ".join(sorted(begins)) or "none"
        raise UnsupportedError(
            f"the network has {len(begins)} beginnings ({names}); a detector reads one image: "
            "name the beginning with --input_arrays and cut the graph there"
        )
    tensor = begins.pop()
    normalisation, base = _read_normalisation(wiring, tensor, constant)
    origin = wiring.ancestors([base])
    resizes = [node for node in wiring.nodes_of(*_RESIZES) if node.name in origin]
    size = _resized(wiring, resizes, constant) or _placeholder_size(wiring, base)
    if len(resizes) == 1:
        # Resizing takes means of pixels: what was done before it can as well be done after it.
        image = resizes[0].data_inputs[0]
        normalisation = normalisation.after(_read_normalisation(wiring, image, constant)[0])
    # A graph that is fed with what its network wants does not say what that is.
    fed_plainly = not resizes and not _reads_bytes(wiring, origin) and normalisation == _NONE
    return NetworkInput(tensor, None if fed_plainly else normalisation, size)


_NONE = Normalisation((1.0,), (0.0,))


def _first_convolutions(wiring: Wiring, network: set[str]) -> list[Node]:
    """The convolutions of the network that depend on no other."""
    found = [node for node in wiring.nodes_of(*CONVOLUTIONS) if node.name in network]
    if not found:
        raise UnsupportedError("no detector: the graph has no convolution before its boxes")
    behind = set()
    for node in found:
        if node.name not in behind:
            behind |= wiring.descendants([node.name]) - {node.name}
    return [node for node in found if node.name not in behind]


def _begin(wiring: Wiring, convolution: Node) -> str:
    """The image that a convolution reads, before what belongs to the network."""
    tensor = convolution.data_inputs[0]
    while True:
        node = wiring.node(tensor)
        if node.op not in _OF_THE_NETWORK or not node.data_inputs:
            return tensor
        before = node.data_inputs[0]
        if wiring.node(before).op == "Const":
            return tensor
        tensor = before


def _read_normalisation(
    wiring: Wiring, tensor: str, constant: Callable[[str], Array | None]
) -> tuple[Normalisation, str]:
    """The arithmetic with constants that leads to `tensor`, and where it begins.

    Raises:
        UnsupportedError: it begins with something else than an image.
    """
    scale, offset = np.array([1.0]), np.array([0.0])
    while True:
        tensor = wiring.source(tensor)
        node = wiring.node(tensor)
        if node.op in _ONE_IMAGE and not _steps(node, constant):
            tensor = node.data_inputs[0]
            continue
        step = _affine_step(node, constant) if node.op in _AFFINE else None
        if step is None:
            break
        tensor, factor, summand = step
        # What came before is scaled and shifted by what came after.
        scale, offset = scale * factor, offset + scale * summand
    node = wiring.node(tensor)
    if node.op not in _ORIGINS:
        raise UnsupportedError(
            f"{node.op} {node.name!r} does something to the image, before the network, that a "
            "detector cannot be told: begin behind it with --input_arrays"
        )
    return Normalisation(_per_channel(scale), _per_channel(offset)), tensor


def _steps(node: Node, constant: Callable[[str], Array | None]) -> bool:
    """Whether `node` takes a part in steps other than 1: backwards, for one, from RGB to BGR."""
    if node.op != "StridedSlice":
        return False
    strides = constant(node.data_inputs[3])
    return strides is None or bool((strides != 1).any())


def _per_channel(values: Array) -> tuple[float, ...]:
    flat = [float(value) for value in values]
    return tuple(flat[:1] if len(set(flat)) == 1 else flat)


def _affine_step(
    node: Node, constant: Callable[[str], Array | None]
) -> tuple[str, Array, Array] | None:
    """The other input of `node`, and the factor and the summand that its constant one is."""
    inputs = node.data_inputs
    if len(inputs) != 2:
        return None
    values = [constant(text) for text in inputs]
    known = [number for number in (0, 1) if values[number] is not None]
    if len(known) != 1:
        return None
    data = values[known[0]]
    assert data is not None
    if data.size not in (1, 3) or data.dtype.kind != "f":
        return None
    number = data.astype(np.float64).reshape(-1)
    one, zero = np.array([1.0]), np.array([0.0])
    other = inputs[1 - known[0]]
    if node.op == "Mul":
        return other, number, zero
    if node.op in ("RealDiv", "Div"):
        return None if known[0] == 0 else (other, 1 / number, zero)
    if node.op == "Sub":
        return (other, -one, number) if known[0] == 0 else (other, one, -number)
    return other, one, number


def _resized(
    wiring: Wiring, resizes: list[Node], constant: Callable[[str], Array | None]
) -> tuple[int, int] | None:
    """The size that the last resize before the network gives."""
    sizes = set()
    for node in resizes:
        size = constant(node.data_inputs[1])
        if size is not None and size.size == 2:
            sizes.add((int(size.reshape(-1)[0]), int(size.reshape(-1)[1])))
    return sizes.pop() if len(sizes) == 1 else None


def _placeholder_size(wiring: Wiring, tensor: str) -> tuple[int, int] | None:
    node = wiring.node(tensor)
    for name in ("shape", "element_shape"):
        shape = node.attrs.get(name)
        dims = shape.dims if isinstance(shape, Shape) else None
        # One image, or a batch of them, with its channels at the end.
        if dims is not None and len(dims) in (3, 4) and dims[-1] in (1, 3) and min(dims[-3:]) > 0:
            return dims[-3], dims[-2]
    return None


def _reads_bytes(wiring: Wiring, origin: set[str]) -> bool:
    """Whether the image comes as whole numbers: then it has pixels from 0 to 255."""
    return any(
        source in origin and wiring.graph.by_name[source].op == "Placeholder"
        for node in wiring.nodes_of("Cast")
        if node.name in origin
        for source in node.sources
    )
