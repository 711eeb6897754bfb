"""Operations of well-known models, written down: what `operations` reads from their graphs."""

from __future__ import annotations

from cosyn.accelerator_model.estimate import Operation, WeightForm


def llama(
    layers: int = 32,
    hidden: int = 4096,
    inner: int = 11008,
    heads: int = 32,
    kv_heads: int = 32,
    vocab: int = 32000,
    form: WeightForm | None = None,
) -> tuple[Operation, ...]:
    """A Llama of that shape; the defaults are LLaMA2-7B."""
    form = form or WeightForm(4, 32)
    size = hidden // heads
    items: list[Operation] = []
    for layer in range(layers):

        def linear(name: str, inputs: int, outputs: int, layer: int = layer) -> Operation:
            return Operation("linear", f"{name}{layer}", layer, inputs, outputs, stored=form)

        items += [
            Operation("norm", f"norm{layer}", layer, hidden, form="rms"),
            linear("qkv", hidden, (heads + 2 * kv_heads) * size),
            Operation("rope", f"rope{layer}", layer, size, heads=heads),
            Operation("rope", f"rope_k{layer}", layer, size, heads=kv_heads),
            Operation("append", f"kv{layer}", layer, size, heads=kv_heads, kv_heads=kv_heads, value_width=size),
            Operation("attend", f"attend{layer}", layer, size, heads=heads, kv_heads=kv_heads, value_width=size),
            linear("o", hidden, hidden),
            Operation("elementwise", f"add{layer}", layer, hidden, form="add", operands=2),
            Operation("norm", f"norm2{layer}", layer, hidden, form="rms"),
            linear("gate_up", hidden, 2 * inner),
            Operation("elementwise", f"silu{layer}", layer, inner, form="silu"),
            Operation("elementwise", f"mul{layer}", layer, inner, form="mul", operands=2),
            linear("down", inner, hidden),
            Operation("elementwise", f"add2{layer}", layer, hidden, form="add", operands=2),
        ]
    items.append(Operation("norm", "norm_head", -1, hidden, form="rms", last_token=True))
    items.append(Operation("linear", "head", -1, hidden, vocab, last_token=True, stored=form))
    return tuple(items)
