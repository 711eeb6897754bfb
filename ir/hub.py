"""Models by hub name: fetched once by huggingface_hub, then read from its cache."""

from __future__ import annotations

import re
from pathlib import Path

from cosyn.ir.errors import ModelError

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_NEEDED = ("*.json", "*.safetensors", "*.jinja")


def is_hub_name(spec: str) -> bool:
    """Whether `spec` looks like `owner/name` and is no path of this machine."""
    return bool(_HUB_NAME.fullmatch(spec)) and not spec.endswith(".json") and not Path(spec).exists()


def hub_folder(name: str) -> Path:
    """The local folder of the hub's model `name`, downloaded unless it is in the cache (`HF_HOME`).

    Raises ModelError where the hub does not have it, cannot be reached, or asks for a login.
    """
    # Late: most models are folders, and this import takes a while.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_NEEDED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"there is no folder {name}, and the Hugging Face hub did not give a model of that name: {reason}. "
            "Give a local model folder, or check the name, the network and `HF_TOKEN`"
        ) from error
