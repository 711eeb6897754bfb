"""The README of an artifact: what it is and how to run it on its device."""

from __future__ import annotations

from typing import Any


def artifact_readme(manifest: dict[str, Any]) -> str:
    """Markdown for the folder that `manifest` describes."""
    model, recipe, target = manifest["model"], manifest["recipe"], manifest["target"]
    weights = (
        f"random, seed {model['random_weights']}: for measuring, not for text"
        if model["random_weights"] is not None
        else "those of the source model, under its licence"
    )
    per_token, arena = manifest["bytes_per_token"], manifest["arena"]
    origin = f"`{model['source']}` ({model['architecture']}, {model['n_layers']} layers)"
    return f"""# {model["name"]} for {target["name"]}

Made by cosyn {manifest["cosyn_version"]} from {origin}.

| | |
|---|---|
| recipe | `{recipe["name"]}` |
| longest sequence | {model["max_seq"]} tokens |
| weights | {weights} |
| weight bytes read per decoded token | {per_token["weights"]:,} |
| KV cache | {per_token["kv_per_position"]:,} bytes per token |
| arena for intermediate values | {arena["bytes"]:,} bytes (lower bound {arena["lower_bound_bytes"]:,}) |
| needs | {" ".join(target.get("features", [])) or target["device"]} |

## Run it

```sh
cosyn run . --prompt "Once upon a time"
```

```python
import cosyn

model = cosyn.load(".")
print(model.generate("Once upon a time", max_new_tokens=64).text)
```

{_own_host(target)}Nothing here needs torch or the compiler. `manifest.json` describes the files and their hashes,
`program.json` lists the kernels that a step launches, and `graph.ir` is the graph that they compute.
"""


def _own_host(target: dict[str, Any]) -> str:
    """How to run the artifact with nothing but its own files, where it has a host program."""
    if "run" not in target:
        return ""
    return f"""Or with a C compiler alone, on token ids:

```sh
{target["run"]}
```

"""
