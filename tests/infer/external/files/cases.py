"""The files that ptx is held to, beside ONNX Runtime: what they take, what they give, what they do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .case import Case

ELEMENTS = (
    "float16",
    "float",
    "double",
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
)
FLOATS = ELEMENTS[:3]


def opsets() -> Iterator[Case]:
    """Operators that ONNX Runtime has from the first opset on."""
    for opset in range(1, 27):
        yield Case(
            f"opset {opset}",
            "(float[N,2,5,5] x) => (float[N,2,1,1] y)"
            " { s = Softsign(x) t = Transpose<perm=[0,1,3,2]>(s) y = GlobalAveragePool(t) }",
            opset=opset,
        )


def types() -> Iterator[Case]:
    """Each type over free and over fixed rows, as a scalar, and cast to the others."""
    for kind in ELEMENTS:
        order = "<int64[4] order = {3, 0, 2, 1}>"
        gather = "{ y = Gather<axis=1>(x, order) }"
        yield Case(f"{kind} rows", f"({kind}[N,4] x) => ({kind}[N,4] y) {order} {gather}")
        yield Case(f"{kind} fixed", f"({kind}[3,4] x) => ({kind}[3,4] y) {order} {gather}")
        yield Case(
            f"{kind} scalar",
            f"({kind}[N,2] x, {kind} k) => ({kind}[N,2] y, {kind} z)"
            " { y = Identity(x) z = Identity(k) }",
        )
        yield Case(
            f"{kind} cast",
            f"({kind}[N,4] x) => (double[N,4] y, int32[N,4] z)"
            " { y = Cast<to=11>(x) z = Cast<to=6>(x) }",
        )
    for kind in FLOATS:
        yield Case(
            f"{kind} computes",
            f"({kind}[N,4] x, {kind}[4,2] w) => ({kind}[N,2] y) {{ h = MatMul(x, w) y = Tanh(h) }}",
        )
    yield Case(
        "float8e4m3fn comes out",
        "(float[N,4] x) => (float8e4m3fn[N,4] y) { y = Cast<to=17>(x) }",
        opset=21,
    )


def axes() -> Iterator[Case]:
    """Batches first, second, nowhere, fixed, under several names; shapes that are free or not given."""
    relu = "{ y = Relu(x) }"
    for given, gives in (
        ("[batch,3]", "[batch,3]"),
        ("[3,batch]", "[3,batch]"),
        ("[time,batch,3]", "[time,batch,3]"),
        ("[?,3]", "[?,3]"),
        ("[?,?]", "[?,?]"),
        ("[N,M]", "[N,M]"),
        ("[1,3]", "[1,3]"),
        ("[3]", "[3]"),
        ("[N]", "[N]"),
        ("[batch_size,3]", "[rows,3]"),
        ("[N,3]", "[]"),
        ("[]", "[]"),
        ("", ""),
        ("[N,N]", "[N,N]"),
        ("[batch,batch]", "[batch,batch]"),
        ("[2,3]", "[]"),
        ("[-1,3]", "[-1,3]"),
        ("[None,3]", "[None,3]"),
        ("[N,3]", "[K,3]"),
        ("[1,1,1,1,1,2]", "[1,1,1,1,1,2]"),
    ):
        yield Case(
            f"x{given} to y{gives}",
            f"(float{given} x) => (float{gives} y) {relu}",
            {"x": np.ones((3, 3), np.float32)} if "[batch,batch]" in given else {},
        )
    yield Case(
        "two names of one batch",
        "(float[N,3] x, float[M,3] z) => (float[N,3] y) { y = Add(x, z) }",
        {"z": np.ones((3, 3), np.float32)},
    )
    yield Case(
        "two sizes of one name",
        "(float[N,3] x, float[N,3] z) => (float[N,3] y) { y = Add(x, z) }",
        {"z": np.ones((1, 3), np.float32)},
    )
    yield Case(
        "two batches",
        "(float[N,3] x, float[M,3] z) => (float[N,M] y) { t = Transpose(z) y = MatMul(x, t) }",
    )
    yield Case(
        "two fixed sizes", "(float[1,3] x, float[2,3] z) => (float[2,3] y) { y = Add(x, z) }"
    )
    yield Case(
        "rows and a state",
        "(float[batch,4] x, float[2,batch,4] h) => (float[2,batch,4] y) { y = Add(x, h) }",
    )
    yield Case(
        "the batch is summed up",
        "(float[N,3] x) => (float[3] y) { y = ReduceMean<axes=[0], keepdims=0>(x) }",
    )
    yield Case(
        "everything is summed up", "(float[N,3] x) => (float y) { y = ReduceSum<keepdims=0>(x) }"
    )
    yield Case(
        "a fixed batch is summed up",
        "(float[4,3] x) => (float[3] y) { y = ReduceMax<axes=[0], keepdims=0>(x) }",
    )
    yield Case(
        "another shape than said",
        "(float[N,4] x, int64[k] s) => (float[N,4] y) { y = Reshape(x, s) }",
        {"s": np.array([2, -1])},
    )
    yield Case("what the data decide", "(float[N,3] x) => (int64[2,found] y) { y = NonZero(x) }")
    yield Case(
        "nothing found",
        "(float[N,3] x) => (int64[2,found] y) { y = NonZero(x) }",
        {"x": np.zeros((3, 3), np.float32)},
    )
    yield Case(
        "no rows",
        "(float[N,3] x) => (float[N,3] y) { y = Relu(x) }",
        {"x": np.zeros((0, 3), np.float32)},
    )
    yield Case(
        "an empty past",
        "(float[batch,past,3] p, float[batch,1,3] x) => (float[batch,now,3] y)"
        " { y = Concat<axis=1>(p, x) }",
        {"p": np.zeros((4, 0, 3), np.float32)},
    )
    yield Case(
        "no rows, summed up",
        "(float[N,3] x) => (float[3] y) { y = ReduceSum<axes=[0], keepdims=0>(x) }",
        {"x": np.zeros((0, 3), np.float32)},
        opset=11,
    )


def scalars() -> Iterator[Case]:
    """Beside the rows: a sampling rate, a switch, a threshold, a shape, a permutation."""
    yield Case(
        "a sampling rate",
        "(float[batch,8] audio, int64 sr) => (float[batch,8] y)"
        " { r = Cast<to=1>(sr) y = Div(audio, r) }",
        {"sr": np.array(16000)},
    )
    yield Case(
        "a sampling rate of one number",
        "(float[batch,8] audio, int64[1] sr) => (float[batch,8] y)"
        " { r = Cast<to=1>(sr) y = Div(audio, r) }",
        {"sr": np.array([16000])},
    )
    yield Case(
        "a switch", "(float[N,3] x, bool on) => (float[N,3] y) { z = Neg(x) y = Where(on, x, z) }"
    )
    yield Case(
        "a threshold in double", "(double[N,3] x, double t) => (bool[N,3] y) { y = Greater(x, t) }"
    )
    yield Case(
        "an axis",
        "(float[N,3] x, int32 axis) => (float[N,3] y) { y = CumSum(x, axis) }",
        {"axis": np.array(1, np.int32)},
    )
    yield Case(
        "a shape",
        "(float[N,4] x, int64[2] s) => (float[a,b] y) { y = Reshape(x, s) }",
        {"s": np.array([6, 2])},
    )
    yield Case(
        "a size",
        "(float[1,3,4,4] x, int64[4] s) => (float[1,3,h,w] y)"
        ' { e = Constant<value = float[0] {}>() y = Resize<mode="nearest">(x, e, e, s) }',
        {"s": np.array([1, 3, 8, 6])},
    )
    yield Case(
        "k",
        "(float[N,5] x, int64[1] k) => (float[N,k] y, int64[N,k] i) { y, i = TopK(x, k) }",
        {"k": np.array([2])},
    )
    yield Case("scalars alone", "(float a, float b) => (float y) { y = Mul(a, b) }")
    yield Case(
        "bounds",
        "(float[N,3] x, float lo, float hi) => (float[N,3] y) { y = Clip(x, lo, hi) }",
        {"lo": np.array(-1, np.float32), "hi": np.array(1, np.float32)},
    )
    yield Case("no input", "() => (float[2] y) { y = Constant<value = float[2] {1.5, 2.5}>() }")
    yield Case("no input, a scalar", "() => (int64 y) { y = Constant<value_int=7>() }")


def control() -> Iterator[Case]:
    """If, Loop and Scan, one in the other too."""
    branches = (
        "<then_branch = t () => (float[] a) { a = Neg(x) },"
        " else_branch = e () => (float[] b) { b = Concat<axis=0>(x, x) }>"
    )
    for on in (True, False):
        yield Case(
            f"if {on}",
            f"(float[N,3] x, bool c) => (float[] y) {{ y = If(c){branches} }}",
            {"c": np.array(on)},
        )
    yield Case(
        "if of the data",
        "(float[N,3] x) => (float[] y) { s = ReduceSum<keepdims=0>(x)"
        " z = Constant<value_float=0.0>() c = Greater(s, z)"
        f" y = If(c){branches} }}",
    )
    body = (
        "<body = b (int64 i, bool k, float[] p) => (bool k2, float[] q, float[] o)"
        " { k2 = Identity(k) q = Add(p, x) o = Identity(q) }>"
    )
    for trips in (0, 1, 4):
        yield Case(
            f"loop {trips}",
            "(float[N,3] x, int64 trips) => (float[N,3] y, float[] all)"
            " { t = Constant<value = bool {1}>() y, all = Loop(trips, t, x)" + body + " }",
            {"trips": np.array(trips)},
        )
    yield Case(
        "loop while",
        "(float x) => (float y) { t = Constant<value = bool {1}>()"
        " y = Loop(, t, x)<body = b (int64 i, bool k, float p) => (bool k2, float q)"
        " { two = Constant<value_float=2.0>() top = Constant<value_float=50.0>() q = Mul(p, two)"
        " k2 = Less(q, top) }> }",
        {"x": np.array(3, np.float32)},
    )
    yield Case(
        "loop of sequences",
        "(float[N,3] x, int64 n) => (seq(float[]) y) { s = SequenceEmpty<dtype=1>()"
        " t = Constant<value = bool {1}>() y = Loop(n, t, s)<body = b (int64 i, bool k, seq(float[]) p)"
        " => (bool k2, seq(float[]) q) { k2 = Identity(k) q = SequenceInsert(p, x) }> }",
        {"n": np.array(3)},
    )
    step = (
        "<num_scan_inputs=1, body = b (float[3] s, float[3] r) => (float[3] t, float[3] o)"
        " { t = Add(s, r) o = Tanh(t) }>"
    )
    for opset in (9, 11, 16, 19, 21):
        yield Case(
            f"scan {opset}",
            "(float[3] s, float[time,3] x) => (float[3] y, float[time,3] all)"
            " { y, all = Scan(s, x)" + step + " }",
            opset=opset,
        )
    yield Case(
        "scan 8, of batches",
        "(float[batch,3] s, float[batch,time,3] x) =>"
        " (float[batch,3] y, float[batch,time,3] all) { y, all = Scan(, s, x)"
        "<num_scan_inputs=1, body = b (float[3] s1, float[3] r) => (float[3] t, float[3] o)"
        " { t = Add(s1, r) o = Neg(t) }> }",
        opset=8,
    )
    yield Case(
        "if in a loop",
        "(float[N,3] x, int64 n, bool c) => (float[] y) { t = Constant<value = bool {1}>()"
        " y = Loop(n, t, x)<body = l (int64 i, bool k, float[] p) => (bool k2, float[] q)"
        " { k2 = Identity(k) q = If(c)<then_branch = a () => (float[] u) { u = Neg(p) },"
        " else_branch = e () => (float[] v) { v = Add(p, p) }> }> }",
        {"n": np.array(3)},
    )


def containers() -> Iterator[Case]:
    """Sequences and optional values, in and out."""
    yield Case(
        "a sequence out", "(float[N,3] x) => (seq(float[]) y) { y = SplitToSequence<axis=0>(x) }"
    )
    yield Case(
        "a sequence of integers out",
        "(int64[N,3] x) => (seq(int64[]) y) { y = SplitToSequence<axis=1>(x) }",
    )
    yield Case(
        "an empty sequence out",
        "(float[N,3] x) => (float[N,3] z, seq(float[]) y)"
        " { z = Neg(x) y = SequenceEmpty<dtype=1>() }",
    )
    yield Case(
        "a sequence beside rows",
        "(float[N,3] x) => (float[N,3] z, seq(float[]) y)"
        " { z = Neg(x) y = SequenceConstruct(x, z) }",
    )
    for kind in ("float", "int64", "bool", "double", "uint8", "int32"):
        yield Case(
            f"a sequence of {kind} in",
            f"(seq({kind}[]) s, int64 at) => ({kind}[] y, int64 n)"
            " { y = SequenceAt(s, at) n = SequenceLength(s) }",
            {"at": np.array(1)},
        )
    yield Case(
        "a sequence of several shapes",
        "(seq(float[]) s) => (float[] y) { y = ConcatFromSequence<axis=0>(s) }",
        {"s": [np.ones((1, 3), np.float32), np.zeros((4, 3), np.float32)]},
    )
    yield Case(
        "a sequence through",
        "(seq(float[]) s, float[2,3] x) => (seq(float[]) y) { y = SequenceInsert(s, x) }",
    )
    yield Case(
        "an empty sequence in", "(seq(float[]) s) => (int64 n) { n = SequenceLength(s) }", {"s": []}
    )
    has = "{ y = OptionalHasElement(o) }"
    for kind in ("float[N]", "int64[]", "seq(float[])"):
        for given in (None, "given"):
            yield Case(
                f"an optional {kind} {given}",
                f"(optional({kind}) o) => (bool y) {has}",
                {"o": None} if given is None else {},
                opset=18,
            )
    yield Case(
        "an optional element",
        "(optional(float[2,3]) o) => (float[2,3] y) { y = OptionalGetElement(o) }",
    )
    yield Case("an optional out", "(float[2,3] x) => (optional(float[2,3]) y) { y = Optional(x) }")
    yield Case(
        "an optional sequence out",
        "(float[2,3] x) => (optional(seq(float[2,3])) y)"
        " { s = SequenceConstruct(x, x) y = Optional(s) }",
    )
    yield Case(
        "nothing comes out",
        "(float[2,3] x) => (float[2,3] z, optional(float[2,3]) y)"
        " { z = Neg(x) y = Optional<type = float[2,3]>() }",
    )


def infinities() -> Iterator[Case]:
    """Logarithms of nothing, masks, indices that stand for nothing."""
    nothing = {"x": np.array([[0.0, 1.0, 2.0]], np.float32)}
    yield Case(
        "log of nothing", "(float[N,3] x) => (float[N,3] y) { y = Log(x) }", nothing, meant=True
    )
    yield Case(
        "a masked score",
        "(float[N,3] x, bool[N,3] m) => (float[N,3] y)"
        " { z = Constant<value = float {-inf}>() y = Where(m, x, z) }",
        {"m": np.array([[True, False, True]] * 3)},
        meant=True,
    )
    yield Case(
        "not a number", "(float[N,3] x) => (float[N,3] y) { y = Div(x, x) }", nothing, meant=True
    )
    mask = np.array([[0.0, -np.inf, 0.0]], np.float32)
    yield Case(
        "a mask in",
        "(float[N,3] x, float[N,3] m) => (float[N,3] y) { z = Add(x, m) y = Softmax(z) }",
        {"x": np.ones((1, 3), np.float32), "m": mask},
        meant=True,
    )
    yield Case(
        "a sequence of infinities",
        "(float[N,3] x) => (seq(float[]) y) { z = Log(x) y = SplitToSequence<axis=1>(z) }",
        nothing,
        meant=True,
    )
    yield Case(
        "infinity in half precision",
        "(float[N,3] x) => (float16[N,3] y) { y = Cast<to=10>(x) }",
        {"x": np.full((1, 3), 1e6, np.float32)},
        meant=True,
    )


def networks() -> Iterator[Case]:
    """What exporters write: weights among the inputs, recurrent layers, an input as an output."""
    weights = "<float[2] w = {2.0, 3.0}, float b = {0.5}>"
    yield Case(
        "weights among the inputs",
        "(float[N,2] x, float[2] w) => (float[N,2] y) <float[2] w = {2.0, 3.0}> { y = Mul(x, w) }",
        opset=8,
    )
    yield Case(
        "a scalar weight",
        f"(float[N,2] x) => (float[N,2] y) {weights} {{ h = Mul(x, w) y = Add(h, b) }}",
    )
    yield Case(
        "an input comes out", "(float[N,2] x) => (float[N,2] x, float[N,2] y) { y = Relu(x) }"
    )
    yield Case(
        "a weight comes out",
        f"(float[N,2] x) => (float[2] w, float[N,2] y) {weights} {{ y = Mul(x, w) }}",
    )
    yield Case(
        "labels and scores",
        "(float[N,4] x) => (int64[N] best, float[N,4] y)"
        " { y = Softmax(x) best = ArgMax<axis=1, keepdims=0>(x) }",
    )
    yield Case(
        "boxes",
        "(float[1,M,4] boxes, float[1,2,M] scores) => (int64[chosen,3] y)"
        " { top = Constant<value = int64[1] {3}>() y = NonMaxSuppression(boxes, scores, top) }",
    )
    for kind, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        yield Case(
            f"{kind}",
            f"(float[time,batch,2] x, float[1,{gates * 4},2] w, float[1,{gates * 4},4] r)"
            f" => (float[time,1,batch,4] y) {{ y = {kind}<hidden_size=4>(x, w, r) }}",
        )
    yield Case(
        "a quantised matrix",
        "(uint8[N,4] x, uint8[4,2] w, uint8 zx, uint8 zw) => (int32[N,2] y)"
        " { y = MatMulInteger(x, w, zx, zw) }",
    )
    yield Case(
        "words",
        "(int32[batch,time] ids, float[7,4] table) => (float[batch,4] y)"
        " { e = Gather(table, ids) y = ReduceMean<axes=[1], keepdims=0>(e) }",
    )
    yield Case(
        "pixels",
        "(uint8[1,height,width,3] image) => (float[1,3,height,width] y)"
        " { f = Cast<to=1>(image) y = Transpose<perm=[0,3,1,2]>(f) }",
    )


def strings_and_maps() -> Iterator[Case]:
    """Which NumPy has not, or ONNX Runtime gives as Python objects: refused by name."""
    yield Case("strings", "(string[N] x) => (string[N] y) { y = Identity(x) }", refused="string")
    yield Case(
        "a string out", "(float[N] x) => (string[N] y) { y = Cast<to=8>(x) }", refused="string"
    )
    yield Case(
        "a sequence of strings",
        "(float[N] x) => (seq(string[]) y) { s = Cast<to=8>(x) y = SplitToSequence(s) }",
        refused="sequence(string)",
    )
    yield Case(
        "a map for each row",
        "(float[N,2] x) => (seq(map(int64,float)) y)"
        " { y = ai.onnx.ml.ZipMap<classlabels_int64s=[4, 9]>(x) }",
        refused="sequence(map)",
    )


FAMILIES = (
    opsets,
    types,
    axes,
    scalars,
    control,
    containers,
    infinities,
    networks,
    strings_and_maps,
)
