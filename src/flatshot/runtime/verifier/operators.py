"""What each builtin operator takes and gives: the facts that LiteRT's kernels rely on.

Numbers and options tables are those of TensorFlow's `schema.fbs`, arities and element types those
that the kernels' `Prepare` functions ask for. Operators that keep a state, call other sub-graphs or
come from StableHLO are left out: no detector of images needs them.
"""

from dataclasses import dataclass

from flatshot.formats.tflite import TensorType

_INDICES = frozenset({TensorType.INT32, TensorType.INT64})
_KNOWN = frozenset(int(t) for t in TensorType) - {
    TensorType.STRING,
    TensorType.RESOURCE,
    TensorType.VARIANT,
}
# What the letters of a signature stand for; `v` is any of these, the same wherever it stands.
LETTERS: dict[str, frozenset[int]] = {
    "a": _KNOWN,
    "v": _KNOWN,
    "i": _INDICES,
    "s": frozenset({TensorType.INT32}),
    "b": frozenset({TensorType.BOOL}),
    "f": frozenset({TensorType.FLOAT32}),
}


@dataclass(frozen=True)
class Signature:
    """What one operator takes and gives.

    Attributes:
        inputs: a letter of `LETTERS` for each.
        outputs: likewise.
        least: how many inputs it needs at the least.
        optional: places of inputs that may be left out as -1.
        repeats: the last input may come any number of times.
        gives_many: the last output may come any number of times.
        options: the number of its options table; 0 where it has none.
        needs_options: it cannot run with the options left out.
    """

    inputs: str
    outputs: str
    least: int
    optional: frozenset[int]
    repeats: bool
    gives_many: bool
    options: int
    needs_options: bool


# Code, options table (! where it cannot be left out), inputs > outputs. After an input `?` says
# that it may be -1, `~` that it may be missing, `+` that it comes once or more.
_TABLE = """
0 11 v v > v        1 5! v > v           2 10 v+ > v         3 1! v a a~ > v
4 2! v a a~ > v     5 94! v > v          6 38 a > f          8 0 v > v
9 8 v a a?~ > v     11 12 v > v          12 5! v > v         13 13! v > v
14 0 v > v          17 5! v > v          18 21 v v > v       19 0 v > v
20 0 v > v          21 0 v > v           22 17 v i~ > v      23 15 v s > v
25 9 v > v          26 19! v > v         28 0 v > v          34 22 v i > v
36 23 v i > v       37 24 v s s > v      38 25 v s s > v     39 26 v s > v
40 27 v s > v       41 28 v v > v        42 29 v v > v       43 30 v > v
45 32 v i i i > v   47 33 v > v          48 34 v s > v i     49 35! s v > v+
50 36 v > v         53 37 a > a          54 0 v v > v        55 39 v v > v
56 40 v i > i       57 39 v v > v        58 41 v v > b       59 42 v > v
60 43 v i v > v     61 44 v v > b        62 45 v v > b       63 46 v v > b
64 47 b v v > v     65 48 v i i > v      66 0 v > v          67 49! s a v a?~ > v
69 51 v i > v       70 52 v i > v        71 53 v v > b       72 54 v v > b
73 0 v > v          74 27 v s > v        75 0 v > v          76 0 v > v
77 55 a > i         78 56 v v > v        79 57 v i > i       80 58 f > f
81 27 v s > v       82 27 v s > v        83 59! v+ > v       84 60 b b > b
85 61 i s v v > v   86 62 b b > b        87 63 b > b         88 64! v > v+
89 27 v s > v       90 65 v v > v        91 27 b s > b       92 66 v > v
93 67 v > v         94 68 i v > v        95 72 v v > v       96 73 v v v > v
97 74 v s > v       98 75 v > v          99 76 v v > v       100 77 v i > v
101 78 v > v        102 79! v i s > v+   104 0 v > v         105 81 v s > v
106 82 v+ > v       107 83 v i > v       108 84 v > v        109 85 a > i
110 86 a > s        111 0 v > v          114 89 a > a        116 0 v > v
117 91 v > v        120 95 f f s f f > s s                   121 96 f f s f f f > s f s
122 97 i v i > v    123 98 b v v > v     124 99 v > v     126 101 v a > v     128 102 v s > v
130 104 v i > v     140 27 b s > b       145 0 i i > i       150 116 v > v
151 117 v v i > v   152 0 v > v          156 122 v v > v     158 123 v > v
"""


def _parse(line: str) -> dict[int, Signature]:
    found: dict[int, Signature] = {}
    words = line.split()
    starts = [k for k in range(len(words) - 1) if words[k].isdigit()]
    starts = [k for k in starts if words[k + 1].rstrip("!").isdigit()]
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        code, table, *types = words[start:end]
        middle = types.index(">")
        takes, gives = types[:middle], types[middle + 1 :]
        found[int(code)] = Signature(
            inputs="".join(word[0] for word in takes),
            outputs="".join(word[0] for word in gives),
            least=sum("~" not in word for word in takes),
            optional=frozenset(k for k, word in enumerate(takes) if "?" in word),
            repeats=takes[-1].endswith("+"),
            gives_many=gives[-1].endswith("+"),
            options=int(table.rstrip("!")),
            needs_options=table.endswith("!"),
        )
    return found


SIGNATURES: dict[int, Signature] = {}
for _line in _TABLE.strip().splitlines():
    SIGNATURES.update(_parse(_line))

# TFLite_Detection_PostProcess: its element types are judged together with its shapes.
POSTPROCESS_SIGNATURE = Signature("aaa", "ffff", 3, frozenset(), False, False, 0, False)

_FLOAT, _INT8 = TensorType.FLOAT32, TensorType.INT8
# Of operators with weights: from the type of the values to those that the weights may have, and
# the bias. Floats with weights of 8 or 4 bits are LiteRT's "hybrid" kernels.
WEIGHTS: dict[int, tuple[frozenset[int], frozenset[int]]] = {
    _FLOAT: (
        frozenset({_FLOAT, TensorType.UINT8, _INT8, TensorType.INT4}),
        frozenset({_FLOAT}),
    ),
    TensorType.UINT8: (frozenset({TensorType.UINT8}), frozenset({TensorType.INT32})),
    _INT8: (frozenset({_INT8, TensorType.INT4}), frozenset({TensorType.INT32})),
    TensorType.INT16: (
        frozenset({_INT8}),
        frozenset({TensorType.INT32, TensorType.INT64}),
    ),
}
# Code: the places of values, weights and bias among the inputs.
WEIGHTED = {3: (0, 1, 2), 4: (0, 1, 2), 9: (0, 1, 2), 67: (2, 1, 3)}
