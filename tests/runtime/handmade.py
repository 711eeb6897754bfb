"""A complete artifact made by hand, without our compiler: a tiny model in TensorIR with the real calling
convention.

The model sums what it has seen: with e the embedding of a token, the cache keeps k = e and v = 2 e, and the
logits of position p are head · Σ_{j ≤ p} ((j + 1) k_j + v_j). Every position and slot matters, and numpy does
it in one line.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax, te, tirx
from tvm.script import tirx as T

from cosyn.runtime.integrity import record_file, seal_manifest
from cosyn.runtime.tensor_file import TensorSpec, write_tensors

VOCAB, WIDTH, MAX_SEQ, CHUNK = 29, 4, 96, 16
EOS = 0

FloatArray = npt.NDArray[np.float32]


@T.prim_func(s_tir=True)
def append(table_h: T.handle, ids_h: T.handle, at_h: T.handle, slot_h: T.handle, k_h: T.handle, v_h: T.handle) -> None:
    seq, slots, capacity = T.int64(), T.int64(), T.int64()
    table = T.match_buffer(table_h, (T.int64(29), T.int64(4)), "float32")
    ids = T.match_buffer(ids_h, (seq,), "int32")
    at = T.match_buffer(at_h, (seq,), "int32")
    slot = T.match_buffer(slot_h, (seq,), "int32")
    k = T.match_buffer(k_h, (slots, T.int64(1), capacity, T.int64(4)), "float32")
    v = T.match_buffer(v_h, (slots, T.int64(1), capacity, T.int64(4)), "float32")
    for t, c in T.grid(seq, T.int64(4)):
        with T.sblock("append"):
            vt, vc = T.axis.remap("SS", [t, c])
            k[slot[vt], 0, at[vt], vc] = table[ids[vt], vc]
            v[slot[vt], 0, at[vt], vc] = table[ids[vt], vc] * T.float32(2)


@T.prim_func(s_tir=True)
def read(at_h: T.handle, slot_h: T.handle, rows_h: T.handle, k_h: T.handle, v_h: T.handle, sum_h: T.handle) -> None:
    seq, out, slots, capacity = T.int64(), T.int64(), T.int64(), T.int64()
    at = T.match_buffer(at_h, (seq,), "int32")
    slot = T.match_buffer(slot_h, (seq,), "int32")
    rows = T.match_buffer(rows_h, (out,), "int32")
    k = T.match_buffer(k_h, (slots, T.int64(1), capacity, T.int64(4)), "float32")
    v = T.match_buffer(v_h, (slots, T.int64(1), capacity, T.int64(4)), "float32")
    total = T.match_buffer(sum_h, (out, T.int64(4)), "float32", offset_factor=1)
    for o, c in T.grid(out, T.int64(4)):
        with T.sblock("read"):
            vo, vc = T.axis.remap("SS", [o, c])
            total[vo, vc] = T.float32(0)
            for j in range(at[rows[vo]] + 1):
                total[vo, vc] = (
                    total[vo, vc] + k[slot[rows[vo]], 0, j, vc] * T.cast(j + 1, "float32") + v[slot[rows[vo]], 0, j, vc]
                )


@T.prim_func(s_tir=True)
def head(sum_h: T.handle, head_h: T.handle, logits_h: T.handle) -> None:
    out = T.int64()
    total = T.match_buffer(sum_h, (out, T.int64(4)), "float32", offset_factor=1)
    weight = T.match_buffer(head_h, (T.int64(29), T.int64(4)), "float32")
    logits = T.match_buffer(logits_h, (out, T.int64(29)), "float32")
    for o, n in T.grid(out, T.int64(29)):
        with T.sblock("head"):
            vo, vn = T.axis.remap("SS", [o, n])
            logits[vo, vn] = T.float32(0)
            for c in range(T.int64(4)):
                logits[vo, vn] = logits[vo, vn] + total[vo, c] * weight[vn, c]


def read_bandwidth() -> tirx.PrimFunc:
    """The sum of an array, as slowly as you like."""
    n = tirx.Var("n", "int64")
    data = te.placeholder((n,), "float32", name="data")
    i = te.reduce_axis((tirx.const(0, "int64"), n), name="i")
    total = te.compute((tirx.const(1, "int64"),), lambda _: te.sum(data[i], axis=i), name="total")
    return te.create_prim_func([data, total]).with_attr("global_symbol", "read_bandwidth")


def weights() -> dict[str, FloatArray]:
    """Whole numbers, so that every order of summation gives the same logits."""
    random = np.random.default_rng(5)
    return {name: random.integers(-8, 9, (VOCAB, WIDTH)).astype(np.float32) for name in ("table", "head")}


def reference_logits(token_ids: list[int]) -> FloatArray:
    """Logits `[tokens, VOCAB]` of a sequence."""
    w = weights()
    e = w["table"][token_ids]
    place = np.arange(1, len(token_ids) + 1, dtype=np.float32)[:, None]
    return np.cumsum(e * place + 2 * e, axis=0) @ w["head"].T


def build_artifact(folder: Path) -> Path:
    """Compile and write the artifact; returns its folder."""
    folder.mkdir()
    _build_library(folder / "model.so")
    arrays = weights()
    specs = [TensorSpec(name, (VOCAB, WIDTH), "f32") for name in arrays]
    write_tensors(folder / "weights.safetensors", specs, lambda spec: arrays[spec.name])
    write_manifest(folder, manifest())
    return folder


def manifest() -> dict[str, object]:
    """manifest.json without its files and seal."""
    return {
        "format": "cosyn-artifact/1",
        "cosyn_version": "0.1.0",
        "model": {
            "name": "bag", "architecture": "bag", "vocab_size": VOCAB, "n_layers": 1, "hidden_size": WIDTH,
            "max_seq": MAX_SEQ, "bos_token_id": 1, "eos_token_ids": [EOS], "random_weights": None,
        },
        "recipe": {"name": "fp32"},
        "target": {"name": "cpu", "kind": "cpu", "device": "cpu", "features": []},
        "arena": {"bytes": 4096, "lower_bound_bytes": 4096},
        "entry_points": [
            {"name": "decode", "max_seq": 1, "max_out": 1},
            {"name": "prefill", "max_seq": CHUNK, "max_out": 4},
        ],
        "states": [
            {
                "name": "kv", "n_kv_heads": 1, "head_dim": WIDTH, "v_dim": WIDTH,
                "dtype": "f32", "window": 0, "sinks": 0,
            }
        ],
        "weights": [{"name": name, "shape": [VOCAB, WIDTH], "dtype": "f32"} for name in ("table", "head")],
        "bytes_per_token": {"weights": 2 * VOCAB * WIDTH * 4, "kv_per_position": 2 * WIDTH * 4},
    }  # fmt: skip


def write_manifest(folder: Path, values: dict[str, object]) -> None:
    """Hash the folder's files and write manifest.json anew."""
    (folder / "manifest.json").unlink(missing_ok=True)
    files = {p.name: record_file(p).to_json() for p in sorted(folder.iterdir())}
    (folder / "manifest.json").write_bytes(seal_manifest({**values, "files": files}))


def read_json(folder: Path) -> dict[str, object]:
    """manifest.json as it is."""
    value: dict[str, object] = json.loads((folder / "manifest.json").read_text())
    return value


def _build_library(path: Path) -> None:
    builder = relax.BlockBuilder()
    with builder.function("init_arena", [], pure=False):
        storage = relax.op.memory.alloc_storage(relax.ShapeExpr([4096]), relax.prim_value(0), "global", "uint8")
        builder.emit_func_output(builder.emit(storage))
    for name in ("decode", "prefill"):
        _emit_entry(builder, name)
    module = builder.get()
    for name, function in {"append": append, "read": read, "head": head}.items():
        module[name] = function.with_attr("global_symbol", name)
    module["read_bandwidth"] = read_bandwidth()
    passes = ("LowerAllocTensor", "KillAfterLastUse", "LowerRuntimeBuiltin")
    passes += ("ComputePrimValue", "VMShapeLower", "AttachGlobalSymbol")
    lowering = tvm.ir.transform.Sequential([getattr(relax.transform, p)() for p in passes])
    tvm.compile(module, tvm.target.Target({"kind": "llvm"}), relax_pipeline=lowering).export_library(str(path))


def _emit_entry(builder: relax.BlockBuilder, name: str) -> None:
    seq, out = tirx.Var("seq", "int64"), tirx.Var("out", "int64")
    arena, states, weights_, logits = (relax.Var(n, relax.AnyType()) for n in ("arena", "states", "weights", "logits"))
    inputs = [relax.Var(n, relax.TensorType([seq], "int32")) for n in ("ids", "positions", "slots")]
    rows = relax.Var("rows", relax.TensorType([out], "int32"))

    def item(array: relax.Var, index: int) -> relax.Expr:
        get = relax.ExternFunc("vm.builtin.tuple_getitem")
        return builder.emit(relax.Call(get, [array, relax.prim_value(index)], ty_args=[relax.AnyType()]))

    def launch(kernel: str, *arguments: relax.Expr) -> None:
        builder.emit(relax.Call(relax.ExternFunc(kernel), list(arguments), ty_args=[relax.TupleType([])]))

    with builder.function(name, [arena, *inputs, rows, states, weights_, logits], pure=False):
        k, v = item(states, 0), item(states, 1)
        total = builder.emit(
            relax.op.memory.alloc_tensor(arena, relax.prim_value(64), relax.ShapeExpr([out, WIDTH]), "float32")
        )
        launch("append", item(weights_, 0), *inputs, k, v)
        launch("read", inputs[1], inputs[2], rows, k, v, total)
        launch("head", total, item(weights_, 1), logits)
        builder.emit_func_output(relax.Tuple([]))
