"""Models of transformers from a local folder."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def check_folder(folder: str, model_types: tuple[str, ...]) -> None:
    """Check that a folder holds a model of one of these types, in the format of save_pretrained.

    Raises:
        UserError: it does not.
    """
    path = Path(folder) / "config.json"
    try:
        found = json.loads(path.read_text()).get("model_type")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a model's folder") from None
    except (ValueError, AttributeError):
        raise UserError(f"{path}: is not a JSON object; expected a model's config") from None
    if found not in model_types:
        raise UserError(f"{path}: field 'model_type' is {found!r}, expected {' or '.join(model_types)}")
    if not any((Path(folder) / name).is_file() for name in WEIGHTS):
        raise UserError(f"{folder}: holds no {WEIGHTS[0]}; weights are read from safetensors only")


@functools.lru_cache(maxsize=2)  # a worker labels thousands of images, and receives its generator with each
def load_model(folder: str, class_name: str) -> Any:
    """The model, frozen, on the GPU if there is one; the network is not accessed.

    Raises:
        UserError: the weights are damaged or do not match the config.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()  # each worker would print one over the preparation's
    kind = getattr(transformers, class_name)
    try:
        with torch.device("cpu"):  # also where the enclosing network is built on "meta"
            model, report = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(f"{folder}: the model cannot be loaded ({str(error).splitlines()[0]})") from error
    if report["missing_keys"]:
        raise UserError(f"{folder}: the weights lack {sorted(report['missing_keys'])[0]!r}, which the config requires")
    return model.eval().requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")
