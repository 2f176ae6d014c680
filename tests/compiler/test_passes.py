"""Each pass on graphs that it changes and on such as it must leave; the meaning always stays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.compiler import ir as compiler_ir
from flatshot.compiler import passes
from flatshot.conversion.convert import convert
from flatshot.errors import GraphError
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.tflite import Activation
from tests import litert
from tests.compiler.graphs import (
    batch_norm,
    const,
    conv,
    feeds_for,
    graph,
    imported,
    meaning,
    placeholder,
    randn,
)
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(5)
X = placeholder("x", 1, 5, 6, 3)


def _kinds(ir: compiler_ir.Graph) -> list[str]:
    return [op.kind for op in ir.ops]


def _apply(
    source: Graph, outputs: list[str], *steps: Callable[[compiler_ir.Graph], int]
) -> tuple[compiler_ir.Graph, list[int]]:
    """Run `steps`, verifying after each that the meaning and the outputs' names stay."""
    ir = imported(source, *outputs)
    feeds = feeds_for(ir, np.random.default_rng(1))
    want = meaning(ir, feeds)
    counts = []
    for step in steps:
        counts.append(step(ir))
        ir.verify()
        assert [value.name for value in ir.outputs] == outputs
        for got, expected in zip(meaning(ir, feeds), want, strict=True):
            assert got.shape == expected.shape
            # folding reorders a few float32 roundings of numbers near 10
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-5)
    return ir, counts


def _conv(name: str = "c", image: str = "x", depth: int = 4, inputs: int = 3) -> list[Node]:
    filter_ = const(f"{name}/w", randn(RNG, 3, 2, inputs, depth))
    return [filter_, conv(name, image, f"{name}/w")]


def _data(ir: compiler_ir.Graph, name: str) -> Any:
    (value,) = [value for value in ir.values() if value.name == name]
    assert value.data is not None
    return value.data


class TestDropDead:
    """`drop_dead`."""

    def test_drops_chains_that_nobody_reads(self) -> None:
        """Two operators, one reading the other, both go."""
        ir = imported(graph(X, make("y", "Relu", "x")), "y")
        dead = compiler_ir.Op("relu", "dead", [ir.inputs[0]], {})
        ir.add(dead, [compiler_ir.Value("dead", (1, 5, 6, 3), np.dtype(np.float32))])
        more = compiler_ir.Op("relu6", "more", [dead.output], {})
        ir.add(more, [compiler_ir.Value("more", (1, 5, 6, 3), np.dtype(np.float32))])
        assert passes.drop_dead(ir) == 2
        ir.verify()
        assert [op.name for op in ir.ops] == ["y"]
        assert passes.drop_dead(ir) == 0

    def test_keeps_an_operator_of_which_one_output_is_read(self) -> None:
        """A custom operator with four outputs stays for the sake of one."""
        source = graph(X, make("p", "Custom", "x", _output_types=[]), make("y", "Other", "p:2"))
        ir = imported(source, "y", allow_custom_ops=True)
        assert passes.drop_dead(ir) == 0


class TestDropIdentities:
    """`drop_identities`, by the cases of its docstring."""

    def test_readers_read_the_input(self) -> None:
        """1: an identity within the graph is gone, its two readers read what it read."""
        source = graph(
            X, make("i", "Identity", "x"), make("a", "Relu", "i"), make("y", "AddV2", "a", "i")
        )
        ir, counts = _apply(source, ["y"], passes.drop_identities)
        assert counts == [1]
        assert _kinds(ir) == ["relu", "add"]
        assert ir.ops[1].inputs[1] is ir.inputs[0]

    def test_the_maker_takes_over_the_name_of_an_output(self) -> None:
        """2: the operator before makes the output, also for its other readers."""
        source = graph(
            X, make("a", "Relu", "x"), make("y", "Identity", "a"), make("z", "Sigmoid", "a")
        )
        ir, counts = _apply(source, ["y", "z"], passes.drop_identities)
        assert counts == [1]
        assert _kinds(ir) == ["relu", "sigmoid"]
        assert ir.ops[0].output is ir.outputs[0]
        assert ir.ops[1].inputs[0] is ir.outputs[0]

    @pytest.mark.parametrize("source", ["x", "k"])
    def test_an_input_or_constant_handed_out_is_reshaped(self, source: str) -> None:
        """3: TensorFlow Lite has no identity."""
        nodes = graph(X, const("k", randn(RNG, 2, 3)), make("y", "Identity", source))
        ir, counts = _apply(nodes, ["y"], passes.drop_identities)
        assert counts == [1]
        assert _kinds(ir) == ["reshape"]

    def test_one_value_under_two_names(self) -> None:
        """2, then 3: of two outputs that are the same value the second is a copy."""
        nodes = graph(
            X, make("a", "Relu", "x"), make("y", "Identity", "a"), make("z", "Identity", "a")
        )
        ir, counts = _apply(nodes, ["y", "z"], passes.drop_identities)
        assert counts == [2]
        assert _kinds(ir) == ["relu", "reshape"]

    def test_a_chain_of_identities_from_input_to_output(self) -> None:
        """The first goes by 1, the last stays as a copy."""
        nodes = graph(X, make("i", "Identity", "x"), make("y", "Identity", "i"))
        ir, counts = _apply(nodes, ["y"], passes.drop_identities)
        assert counts == [2]
        assert _kinds(ir) == ["reshape"]

    def test_the_shape_of_a_copy_takes_a_free_name(self) -> None:
        """A constant called `y/shape` may be there already."""
        nodes = graph(
            X,
            const("y/shape", randn(RNG, 3)),
            make("z", "AddV2", "x", "y/shape"),
            make("y", "Identity", "x"),
        )
        _, counts = _apply(nodes, ["y", "z"], passes.drop_identities)
        assert counts == [1]


class TestFoldConstants:
    """`fold_constants`."""

    def test_computes_what_is_constant(self) -> None:
        """A chain of constants becomes one, under the name of the last."""
        nodes = graph(
            X,
            const("a", randn(RNG, 3)),
            const("b", randn(RNG, 3)),
            make("s", "Mul", "a", "b"),
            make("t", "Relu", "s"),
            make("y", "AddV2", "x", "t"),
        )
        ir, counts = _apply(nodes, ["y"], passes.fold_constants, passes.fold_constants)
        assert counts == [2, 0]
        assert _kinds(ir) == ["add"]
        assert _data(ir, "t").shape == (3,)

    def test_leaves_an_output_of_the_graph(self) -> None:
        """An output that is constant is still computed: a name for it must remain."""
        nodes = graph(const("a", randn(RNG, 3)), make("y", "Relu", "a"))
        _, counts = _apply(nodes, ["y"], passes.fold_constants)
        assert counts == [0]

    def test_leaves_what_would_become_large(self) -> None:
        """Broadcasting two vectors to 100 MB stays for run time."""
        nodes = graph(
            const("a", np.zeros((5000, 1), np.float32)),
            const("b", np.zeros((1, 5000), np.float32)),
            make("big", "AddV2", "a", "b"),
            make("y", "Relu", "big"),
        )
        assert passes.fold_constants(imported(nodes, "y")) == 0

    def test_leaves_convolutions(self) -> None:
        """A convolution of constants could ask for any amount of work."""
        nodes = graph(const("x", randn(RNG, 1, 5, 6, 3)), _conv(), make("y", "Relu", "c"))
        _, counts = _apply(nodes, ["y"], passes.fold_constants)
        assert counts == [0]

    def test_infinities_are_values(self) -> None:
        """Division of constants by zero is no error."""
        nodes = graph(
            X, const("a", [1.0]), const("b", [0.0]), make("d", "RealDiv", "a", "b"),
            make("y", "Minimum", "x", "d"),
        )  # fmt: skip
        _, counts = _apply(nodes, ["y"], passes.fold_constants)
        assert counts == [1]


class TestDropTrivialArithmetic:
    """`drop_trivial_arithmetic`."""

    @pytest.mark.parametrize(
        ("op", "neutral", "swap"),
        [
            ("Mul", 1.0, False),
            ("Mul", 1.0, True),
            ("RealDiv", 1.0, False),
            ("AddV2", 0.0, False),
            ("AddV2", 0.0, True),
            ("Sub", 0.0, False),
        ],
    )
    def test_neutral_element(self, op: str, neutral: float, swap: bool) -> None:
        """X * 1, 1 * x, x / 1, x + 0, 0 + x, x - 0."""
        inputs = ("k", "x") if swap else ("x", "k")
        for value in (np.float32(neutral), np.full((6, 1), neutral, np.float32)):
            nodes = graph(X, const("k", value), make("t", op, *inputs), make("y", "Relu", "t"))
            ir, counts = _apply(nodes, ["y"], passes.drop_trivial_arithmetic)
            assert counts == [1]
            assert _kinds(ir) == ["identity", "relu"]

    @pytest.mark.parametrize(
        ("op", "inputs", "value"),
        [
            ("RealDiv", ("k", "x"), np.float32(1)),
            ("Sub", ("k", "x"), np.float32(0)),
            ("Mul", ("x", "k"), np.array([1, 1, 2], np.float32)),
            ("AddV2", ("x", "k"), np.float32(1)),
            ("AddV2", ("x", "k"), np.zeros((4, 5, 6, 3), np.float32)),
            ("Mul", ("x", "k"), np.float32(np.nan)),
        ],
    )
    def test_not_neutral(self, op: str, inputs: tuple[str, str], value: Any) -> None:
        """1 / x, 0 - x, other values, and a zero that broadcasts."""
        nodes = graph(X, const("k", value), make("y", op, *inputs))
        _, counts = _apply(nodes, ["y"], passes.drop_trivial_arithmetic)
        assert counts == [0]


def test_replace_squeeze() -> None:
    """A squeeze is a reshape to a constant `<name>_shape`; without one nothing changes."""
    nodes = graph(placeholder("x", 1, 4, 1, 3), make("s", "Squeeze", "x", squeeze_dims=[2]))
    ir, counts = _apply(nodes, ["s"], passes.replace_squeeze, passes.replace_squeeze)
    assert counts == [1, 0]
    assert _kinds(ir) == ["reshape"]
    assert _data(ir, "s_shape").tolist() == [1, 4, 3]


def test_reshapes_of_reshapes() -> None:
    """Only the last stays; one that something else reads, or an output, stays too."""
    nodes = [
        placeholder("x", 2, 3, 4),
        const("s", [6, 4]),
        const("t", [4, 6]),
        const("u", [24]),
        make("a", "Reshape", "x", "s"),
        make("b", "Reshape", "a", "t"),
        make("c", "Reshape", "b", "u"),
        make("d", "Relu", "b"),
    ]
    ir, counts = _apply(graph(*nodes), ["c", "d"], passes.drop_reshaped_reshapes)
    assert counts == [1]
    assert [op.name for op in ir.ops] == ["b", "c", "d"]
    _, counts = _apply(graph(*nodes), ["a", "c"], passes.drop_reshaped_reshapes)
    assert counts == [1]


def test_settle_concat_axes() -> None:
    """The axis becomes an attribute counted from the front; a shared axis serves both."""
    nodes = graph(
        X,
        const("axis", -1),
        make("a", "ConcatV2", "x", "x", "axis"),
        make("y", "ConcatV2", "a", "x", "axis"),
    )
    ir, counts = _apply(nodes, ["y"], passes.settle_concat_axes, passes.settle_concat_axes)
    assert counts == [2, 0]
    assert [op.attrs["axis"] for op in ir.ops] == [3, 3]
    assert not any(value.name == "axis" for value in ir.values())


class TestSplitBatchNorms:
    """`split_batch_norms`."""

    def test_becomes_multiplication_and_addition(self) -> None:
        """With the constants computed in float32, in TOCO's order."""
        nodes = graph(X, batch_norm("n", "x", 3, RNG), make("y", "Relu", "n"))
        ir, counts = _apply(nodes, ["y"], passes.split_batch_norms, passes.split_batch_norms)
        assert counts == [1, 0]
        assert _kinds(ir) == ["mul", "add", "relu"]
        values: dict[str, Any] = {item.name: item.attrs.get("value") for item in nodes}
        gamma, variance = values["n/gamma"], values["n/variance"]
        scale = gamma * (1 / np.sqrt(variance + np.float32(0.001)))
        np.testing.assert_array_equal(_data(ir, "n_mul_0_param"), scale)

    def test_standing_alone_at_the_output(self) -> None:
        """The addition makes the output, under its name."""
        ir, counts = _apply(graph(X, batch_norm("n", "x", 3, RNG)), ["n"], passes.split_batch_norms)
        assert counts == [1]
        assert ir.outputs[0].producer is ir.ops[-1]

    def test_parameters_must_be_constants(self) -> None:
        """An input as gamma is refused by name."""
        nodes = graph(X, placeholder("g", 3), batch_norm("n", "x", 3, RNG))
        moved = [
            Node(n.name, n.op, ("x", "g", *n.inputs[2:]), n.attrs) if n.name == "n" else n
            for n in nodes
        ]
        ir = imported(Graph(tuple(moved)), "n")
        with pytest.raises(GraphError, match="'n': the parameters of batch norm must be constants"):
            passes.split_batch_norms(ir)

    def test_negative_variance_is_no_crash(self) -> None:
        """It makes NaN, as TensorFlow does."""
        nodes = graph(X, batch_norm("n", "x", 3, RNG))
        bad = [
            const("n/variance", [-1.0, 1.0, 1.0]) if n.name == "n/variance" else n for n in nodes
        ]
        ir = imported(Graph(tuple(bad)), "n")
        passes.split_batch_norms(ir)
        assert np.isnan(_data(ir, "n_mul_0_param")).tolist() == [True, False, False]


ARITHMETIC = (passes.split_batch_norms, passes.fold_arithmetic)


class TestFoldArithmetic:
    """`fold_arithmetic`."""

    @pytest.mark.parametrize("op", ["Conv2D", "DepthwiseConv2dNative"])
    def test_batch_norm_goes_into_the_convolution(self, op: str) -> None:
        """Also into a depthwise one with a multiplier, where channels interleave."""
        filter_ = const("w", randn(RNG, 3, 2, 3, 4))
        depth = 4 if op == "Conv2D" else 12
        nodes = graph(X, filter_, conv("c", "x", "w", op=op), batch_norm("y", "c", depth, RNG))
        ir, counts = _apply(nodes, ["y"], *ARITHMETIC)
        assert counts == [1, 2]
        assert len(ir.ops) == 1
        assert {value.name for value in ir.values()} == {"x", "w", "c_bias", "y"}

    def test_a_filter_of_two_convolutions(self) -> None:
        """The filter stays one, and the multiplications with it: copies would cost more."""
        nodes = graph(
            X,
            const("w", randn(RNG, 1, 1, 3, 4)),
            conv("c", "x", "w"),
            conv("d", "x", "w", strides=(2, 2)),
            batch_norm("y", "c", 4, RNG),
            batch_norm("z", "d", 4, RNG),
        )
        ir, counts = _apply(nodes, ["y", "z"], *ARITHMETIC)
        assert counts == [2, 0]
        assert _kinds(ir) == ["conv2d", "conv2d", "mul", "add", "mul", "add"]
        assert ir.ops[0].inputs[1] is ir.ops[1].inputs[1]

    def test_biases_of_a_shared_filter(self) -> None:
        """They do not touch the filter, and are folded."""
        nodes = graph(
            X,
            const("w", randn(RNG, 1, 1, 3, 4)),
            const("b", randn(RNG, 4)),
            conv("c", "x", "w"),
            conv("d", "x", "w", strides=(2, 2)),
            make("y", "BiasAdd", "c", "b"),
            make("z", "BiasAdd", "d", "b"),
        )
        ir, counts = _apply(nodes, ["y", "z"], *ARITHMETIC)
        assert counts == [0, 2]
        assert _kinds(ir) == ["conv2d", "conv2d"]

    def test_a_filter_that_is_an_output(self) -> None:
        """The output keeps the filter as it was."""
        nodes = graph(X, _conv(), batch_norm("y", "c", 4, RNG))
        _, counts = _apply(nodes, ["y", "c/w"], *ARITHMETIC)
        assert counts == [1, 2]

    def test_addition_before_multiplication(self) -> None:
        """(conv + a) * b scales the bias too."""
        nodes = graph(
            X,
            _conv(),
            const("a", randn(RNG, 4)),
            const("b", randn(RNG, 1, 1, 1, 4)),
            make("s", "BiasAdd", "c", "a"),
            make("y", "Mul", "b", "s"),
        )
        ir, counts = _apply(nodes, ["y"], passes.fold_arithmetic)
        assert counts == [2]
        assert [value.name for value in ir.ops[0].inputs] == ["x", "c/w", "c_bias"]

    def test_a_scalar(self) -> None:
        """One number stands for all channels."""
        nodes = graph(
            X, _conv(), const("k", 2.5), make("s", "Mul", "c", "k"), make("y", "AddV2", "k", "s")
        )
        ir, counts = _apply(nodes, ["y"], passes.fold_arithmetic)
        assert counts == [2]
        assert ir.ops[0].inputs[2].dims == (4,)

    @pytest.mark.parametrize("shape", [(6, 1), (5, 6, 4), (2, 1, 1, 4), (1, 1, 1, 1, 4), (1, 4, 1)])
    def test_what_is_no_constant_a_channel(self, shape: tuple[int, ...]) -> None:
        """Constants along other axes, and such as change the shape of the result."""
        source = (
            placeholder("x", 1, 5, 6, 3) if shape != (1, 4, 1) else placeholder("x", 1, 4, 4, 3)
        )
        nodes = graph(source, _conv(), const("k", randn(RNG, *shape)), make("y", "Mul", "c", "k"))
        _, counts = _apply(nodes, ["y"], passes.fold_arithmetic)
        assert counts == [0]

    def test_a_convolution_that_is_read_twice_or_is_an_output(self) -> None:
        """Then its own result is wanted too."""
        read = graph(X, _conv(), batch_norm("n", "c", 4, RNG), make("y", "AddV2", "n", "c"))
        _, counts = _apply(read, ["y"], *ARITHMETIC)
        assert counts == [1, 0]
        shown = graph(X, _conv(), batch_norm("y", "c", 4, RNG))
        _, counts = _apply(shown, ["c", "y"], *ARITHMETIC)
        assert counts == [1, 0]

    def test_added_to_itself(self) -> None:
        """Conv + conv has no constant."""
        _, counts = _apply(
            graph(X, _conv(), make("y", "AddV2", "c", "c")), ["y"], passes.fold_arithmetic
        )
        assert counts == [0]

    def test_a_multiplication_before_the_convolution(self) -> None:
        """It stays: padding would mix with it."""
        nodes = graph(X, const("k", randn(RNG, 3)), make("m", "Mul", "x", "k"), _conv("y", "m"))
        _, counts = _apply(nodes, ["y"], passes.fold_arithmetic)
        assert counts == [0]

    def test_behind_a_fused_activation(self) -> None:
        """What comes after relu6 cannot go before it."""
        nodes = graph(
            X, _conv(), make("r", "Relu6", "c"), const("k", 0.5), make("y", "Mul", "r", "k")
        )
        ir, counts = _apply(nodes, ["y"], passes.fuse_activations, passes.fold_arithmetic)
        assert counts == [1, 0]
        assert _kinds(ir) == ["conv2d", "mul"]

    def test_names_that_are_taken(self) -> None:
        """A graph may have its own `c_bias`."""
        nodes = graph(
            X,
            _conv(),
            const("c_bias", randn(RNG, 4)),
            make("s", "BiasAdd", "c", "c_bias"),
            make("y", "AddV2", "s", "c_bias"),
        )
        ir, counts = _apply(nodes, ["y"], passes.fold_arithmetic)
        assert counts == [2]
        assert ir.ops[0].inputs[2].name == "c_bias_1"

    def test_not_a_number_in_the_weights(self) -> None:
        """NaN goes through without a warning."""
        bad = randn(RNG, 1, 1, 3, 4)
        bad[0, 0, 0, 0] = np.nan
        nodes = graph(X, const("w", bad), conv("c", "x", "w"), batch_norm("y", "c", 4, RNG))
        ir = imported(nodes, "y")
        assert passes.run_passes(ir) > 0
        assert np.isnan(_data(ir, "w")).sum() == 1


def test_add_missing_biases() -> None:
    """Zeros, once; a bias that is there stays."""
    nodes = graph(
        X, _conv(), const("b", randn(RNG, 4)), make("s", "BiasAdd", "c", "b"), _conv("y", "s", 2, 4)
    )
    steps = (passes.fold_arithmetic, passes.add_missing_biases, passes.add_missing_biases)
    ir, counts = _apply(nodes, ["y"], *steps)
    assert counts == [1, 1, 0]
    assert _data(ir, "y_bias").tolist() == [0, 0]


def test_expand_bias_adds() -> None:
    """A bias addition behind no convolution is an addition."""
    nodes = graph(X, const("b", randn(RNG, 3)), make("y", "BiasAdd", "x", "b"))
    ir, counts = _apply(nodes, ["y"], passes.expand_bias_adds, passes.expand_bias_adds)
    assert counts == [1, 0]
    assert _kinds(ir) == ["add"]


class TestFuseActivations:
    """`fuse_activations`."""

    @pytest.mark.parametrize(
        ("op", "activation"), [("Relu", Activation.RELU), ("Relu6", Activation.RELU6)]
    )
    def test_into_the_operator_before(self, op: str, activation: Activation) -> None:
        """The later name survives."""
        ir, counts = _apply(graph(X, _conv(), make("y", op, "c")), ["y"], passes.fuse_activations)
        assert counts == [1]
        assert [op.attrs["activation"] for op in ir.ops] == [activation]
        assert ir.ops[0].output.name == "y"

    def test_not_into_one_that_is_read_twice_or_shown_or_has_one(self) -> None:
        """Nor into operators without the option."""
        twice = graph(X, _conv(), make("r", "Relu", "c"), make("y", "AddV2", "r", "c"))
        _, counts = _apply(twice, ["y"], passes.fuse_activations)
        assert counts == [0]
        _, counts = _apply(
            graph(X, _conv(), make("y", "Relu", "c")), ["c", "y"], passes.fuse_activations
        )
        assert counts == [0]
        two = graph(X, _conv(), make("r", "Relu6", "c"), make("y", "Relu", "r"))
        ir, counts = _apply(two, ["y"], passes.fuse_activations)
        assert counts == [1]
        assert _kinds(ir) == ["conv2d", "relu"]
        other = graph(X, make("m", "Maximum", "x", "x"), make("y", "Relu", "m"))
        _, counts = _apply(other, ["y"], passes.fuse_activations)
        assert counts == [0]


def test_a_pass_that_leaves_a_graph_broken_is_named() -> None:
    """The manager says which one."""

    def break_it(ir: compiler_ir.Graph) -> int:
        ir.reorder(ir.ops[::-1])
        return 1

    ir = imported(graph(X, make("a", "Relu", "x"), make("y", "Sigmoid", "a")), "y")
    with pytest.raises(GraphError, match="after the pass break_it: 'y' runs before 'a' is made"):
        passes.run_passes(ir, [break_it])


# --- random graphs ------------------------------------------------------------------------------


class _Chain:
    """A chain of operators that grows at its end, with branches back to what came before."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.nodes: list[Node] = [placeholder("x", 1, 5, 4, 3)]
        self.at, self.depth = "x", 3
        self.seen = {3: ["x"]}  # by depth; height and width never change
        self.outputs: list[str] = []

    def _append(self, *nodes: Node, depth: int | None = None) -> None:
        self.nodes += nodes
        self.at, self.depth = nodes[-1].name, depth or self.depth
        self.seen.setdefault(self.depth, []).append(self.at)

    def conv(self, name: str) -> None:
        depth = self.draw(st.integers(1, 4))
        filter_ = const(f"{name}/w", randn(self.rng, 3, 2, self.depth, depth) / 3)
        self._append(filter_, conv(name, self.at, filter_.name), depth=depth)

    def shared(self, name: str) -> None:
        """A convolution whose filter another one has, if there is one of a fitting shape."""
        for node in self.nodes:
            value = node.attrs.get("value")
            fits = isinstance(value, np.ndarray) and value.shape == (3, 2, self.depth, self.depth)
            if fits and node.name.startswith("conv"):
                self._append(conv(name, self.at, node.name))
                return

    def depthwise(self, name: str) -> None:
        filter_ = const(f"{name}/w", randn(self.rng, 2, 3, self.depth, 1) / 2)
        self._append(filter_, conv(name, self.at, filter_.name, op="DepthwiseConv2dNative"))

    def norm(self, name: str) -> None:
        self._append(*batch_norm(name, self.at, self.depth, self.rng))

    def bias(self, name: str) -> None:
        constant = const(f"{name}/b", randn(self.rng, self.depth))
        self._append(constant, make(name, "BiasAdd", self.at, constant.name))

    def mul(self, name: str) -> None:
        shape = self.draw(st.sampled_from([(), (self.depth,), (1, 1, 1, self.depth), (4, 1)]))
        constant = const(f"{name}/k", np.asarray(randn(self.rng, *shape)))
        self._append(constant, make(name, "Mul", constant.name, self.at))

    def add(self, name: str) -> None:
        other = self.draw(st.sampled_from(self.seen[self.depth]))
        self._append(make(name, "AddV2", self.at, other))

    def concat(self, name: str) -> None:
        if self.depth <= 8:
            axis = const(f"{name}/axis", 3)
            joined = make(name, "ConcatV2", self.at, self.at, axis.name)
            self._append(axis, joined, depth=2 * self.depth)

    def tap(self, name: str) -> None:
        self.outputs.append(self.at)

    def relu(self, name: str) -> None:
        self._append(make(name, "Relu", self.at))

    def relu6(self, name: str) -> None:
        self._append(make(name, "Relu6", self.at))

    def identity(self, name: str) -> None:
        self._append(make(name, "Identity", self.at))


STEPS = (
    *("conv", "shared", "depthwise", "norm", "bias", "mul", "add", "concat", "tap"),
    *("relu", "relu6", "identity"),
)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Graph, list[str]]:
    """Random networks of convolutions and what goes with them, and the names of their outputs."""
    chain = _Chain(draw)
    for number, step in enumerate(draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=12))):
        getattr(chain, step)(f"{step}{number}")
    if chain.at == "x":
        chain.relu("last")
    return graph(chain.nodes), list(dict.fromkeys([*chain.outputs, chain.at]))


@given(networks())
def test_all_passes_keep_the_meaning_of_random_networks(network: tuple[Graph, list[str]]) -> None:
    """After every pass, and in LiteRT."""
    source, outputs = network
    _, counts = _apply(source, outputs, *passes.PASSES)
    ir = imported(source, *outputs)
    assert passes.run_passes(ir) == sum(counts)
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(imported(source, *outputs), feeds)
    used = [value.name for value in ir.inputs]
    got = litert.run(
        convert(source, output_arrays=outputs).to_bytes(), *(feeds[name] for name in used)
    )
    for have, expected in zip(got, want, strict=True):
        # up to twelve layers of float32 sums; growth of the values is taken care of by the scale
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(have / scale, expected / scale, atol=2e-5, rtol=0)
