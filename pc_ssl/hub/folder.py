"""Folders of published networks, on this machine or on a model hub.

    network = pc_ssl.load("work_dirs/prc")                       # a run, a published folder, or "owner/name" of a hub
    points = torch.from_numpy(cloud)                             # [N, 3 + F]: x, y, z, intensity in [0, 1], ...
    feature = pc_ssl.point_features(network, points)             # [N, C]

A published folder holds `model.safetensors` (a weights file, also for `--init`), `config.json` (the class of the
network and its arguments) and the model card `README.md`. Nothing in them is imported or executed: the network is one
of the package's own classes, named by `interop.networks.NETWORKS`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.engine.exchange import LIDAR
from pc_ssl.engine.weights import BACKBONE, load_backbone, network_of, read_metadata, read_tensors, write_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import WEIGHTS
from pc_ssl.extras import extra
from pc_ssl.files import PARTIAL_SUFFIX, read_json, write_bytes, write_error, write_json
from pc_ssl.hub.card import NOT_STATED, Origin, data_of, model_card, result_of
from pc_ssl.interop.networks import CLASS, NETWORKS, Description, build
from pc_ssl.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = 1
RUNS = Path("work_dirs")  # a bare name is a run in it
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelConfig:
    """Content of config.json.

    Args:
        network: class of the network and its arguments (`interop.networks`).
        origin: what made the weights; not needed for loading.
    """

    network: Description
    origin: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        content = {"library": "pc_ssl", "format": FORMAT, "pc_ssl": __version__}
        write_json(path, {**content, "network": self.network, "origin": dict(self.origin)})

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read the file.

        Raises:
            UserError: it cannot be read, is of another library or format, or describes no network of this package.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.get("library") != "pc_ssl":
            raise UserError(f"{path}: field 'library' is not 'pc_ssl'; not a network that pc-ssl has published")
        if content.get("format") != FORMAT:
            raise UserError(f"{path}: format is {content.get('format')!r}, this pc_ssl reads {FORMAT}; update pc_ssl")
        network, origin = content.get("network"), content.get("origin", {})
        if not isinstance(network, dict) or not isinstance(origin, dict):
            raise UserError(f"{path}: field 'network' or 'origin' is not an object")
        if network.get(CLASS) not in NETWORKS:
            raise UserError(f"{path}: the network is {network.get(CLASS)!r}, expected one of {', '.join(NETWORKS)}")
        return cls(network, origin)


def load(source: str | Path, *, revision: str | None = None, device: str | torch.device = "cpu") -> nn.Module:
    """A pretrained LiDAR backbone in eval mode, ready for inference; of a fused network its LiDAR branch.

    Every tensor of the network must be in the file, and every tensor of the file in the network.

    Args:
        source: a folder of `save_pretrained`, the work folder of a run or its name in `work_dirs`, a weights file, or
            the "owner/name" of a repository on the Hugging Face hub (with the extra `hub`).
        revision: branch, tag or commit of the repository.
        device: to load onto.

    Returns:
        the network (`pc_ssl.protocols.Backbone`); see also `point_features`.

    Raises:
        UserError: there is no such network, a file is missing or damaged, or the weights are not the network's.
    """
    place = _found(source, revision)
    path, description = _weights_and_network(place)
    network = _network(path, description)
    load_backbone(path, network, "lidar")
    return network.to(device).eval()


def weights_file(source: str | Path, *, revision: str | None = None) -> Path:
    """The weights file that `load` reads; arguments and errors are its."""
    return _weights_and_network(_found(source, revision))[0]


def save_pretrained(
    weights: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    cache: Cache | None = None,
    data_licence: str | None = None,
    results: Sequence[Path] = (),
) -> None:
    """Write the backbone of a weights file as a folder that `load` reads, whole or not at all.

    Args:
        weights: a weights file whose metadata describes the network, as all of this version do. Heads, and the camera
            branch of a fused network, are left out.
        folder: new, or empty.
        name: title of the model card, such as the repository's; None: the folder's name.
        licence: of the weights; None: as in the file's metadata, else "not stated".
        cache: the frames that the weights were trained on, for the model card.
        data_licence: licence of the training data; None: that of a public data set.
        results: work folders of probes and fine-tunings of these weights, for the model card.

    Raises:
        UserError: the file is damaged or does not describe its network, the cache or a result belongs to other
            weights, or the folder is not empty or cannot be written.
    """
    path, folder = Path(weights), Path(folder)
    metadata = read_metadata(path)
    description = _described(path, metadata)
    network = _network(path, description)
    load_backbone(path, network, "lidar")  # what is published can be loaded
    kept = {key: value for key, value in metadata.items() if key != "network"}
    origin = Origin(
        weights=kept,
        licence=licence or metadata.get("licence") or NOT_STATED,
        data={} if cache is None else data_of(cache, path, metadata, data_licence),
        results=tuple(result_of(Path(of), path) for of in results),
    )
    tensors = {f"{BACKBONE}{key}": value for key, value in network.state_dict().items()}
    config = ModelConfig(description, {"licence": origin.licence, "weights": kept, "data": dict(origin.data),
                                       "results": [dict(of) for of in origin.results]})  # fmt: skip
    temporary = _new_folder(folder)
    try:
        write_tensors(temporary / MODEL, tensors, {**metadata, "licence": origin.licence})
        config.write(temporary / CONFIG)
        write_bytes(temporary / CARD, model_card(name or folder.name, description, origin).encode())
        _put(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def push_to_hub(
    folder: str | Path, repository: str, *, private: bool = True, revision: str | None = None, api: HfApi | None = None
) -> str:
    """Upload a folder of `save_pretrained` to the Hugging Face hub.

    Args:
        folder: checked by loading it first.
        repository: "owner/name"; created if needed.
        private: whether a repository that is created is private.
        revision: branch to upload to; None: the main branch.
        api: the client; None: one with the credentials that its own login stored.

    Returns:
        the address of the commit.

    Raises:
        UserError: the folder is not complete, the client is not installed, or the hub refuses.
    """
    folder = Path(folder)
    if not REPOSITORY.fullmatch(repository):
        raise UserError(f"repository: {repository!r}, expected owner/name")
    load(folder)
    if not (folder / CARD).is_file():
        raise UserError(f"{folder}: holds no {CARD}; write the folder with save_pretrained")
    with extra("hub", "push_to_hub"):
        import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    client = huggingface_hub.HfApi() if api is None else api
    try:
        client.create_repo(repository, private=private, exist_ok=True)
        done = client.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=[MODEL, CONFIG, CARD], revision=revision
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(f"{repository}: the upload failed ({' '.join(str(error).split())[:200]})") from error
    return str(done)


def _found(source: str | Path, revision: str | None) -> Path:
    """The file or folder that a name means."""
    place = Path(source)
    if not place.exists() and len(place.parts) == 1 and (RUNS / place).is_dir():
        place = RUNS / place
    if not place.exists():
        if not REPOSITORY.fullmatch(str(source)):
            raise UserError(
                f"{source}: no such file or folder, no run in {RUNS}, and not a repository's name such as owner/name"
            )
        place = _downloaded(str(source), revision)
    elif revision is not None:
        raise UserError(f"{source}: is on this machine and has no revision {revision!r}")
    return place


def _weights_and_network(place: Path) -> tuple[Path, Description]:
    """The weights file of a place, and the description of its network."""
    if place.is_file():
        return place, _described(place, read_metadata(place))
    if (place / CONFIG).is_file():
        if not (place / MODEL).is_file():
            raise UserError(f"{place}: holds {CONFIG} but no {MODEL}; weights are read from safetensors only")
        return place / MODEL, ModelConfig.read(place / CONFIG).network
    if (place / WEIGHTS).is_file():
        return place / WEIGHTS, _described(place / WEIGHTS, read_metadata(place / WEIGHTS))
    raise UserError(f"{place}: holds neither {CONFIG} and {MODEL} nor {WEIGHTS}; not a network or a finished run")


def _described(path: Path, metadata: Mapping[str, str]) -> Description:
    description = network_of(path, metadata)
    if description is None:
        raise UserError(
            f"{path}: its metadata does not describe a LiDAR network ({', '.join(NETWORKS)}): an older file, or the "
            "weights of a camera network alone"
        )
    return description


def _network(path: Path, description: Description) -> nn.Module:
    """The network of a description that agrees in size with the file, so that no other size is allocated.

    Raises:
        UserError: it cannot be built, or has another number of values than the file.
    """
    tensors, _ = read_tensors(path)
    prefix = LIDAR if any(name.startswith(LIDAR) for name in tensors) else BACKBONE
    found = sum(value.numel() for name, value in tensors.items() if name.startswith(prefix))
    try:
        with torch.device("meta"):
            expected = sum(value.numel() for value in build(description, str(path)).state_dict().values())
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        raise UserError(
            f"{path}: the {description[CLASS]} cannot be built from its description ({' '.join(str(error).split())})"
        ) from None
    if found != expected:
        raise UserError(f"{path}: holds {found} values, but its {description[CLASS]} has {expected}; not its weights")
    return build(description, str(path))


def _downloaded(repository: str, revision: str | None) -> Path:
    with extra("hub", f"loading {repository}"):
        import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=[MODEL, CONFIG, CARD])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{repository}: neither a folder here nor a repository that can be read ({reason})") from error


def _new_folder(folder: Path) -> Path:
    """A temporary folder next to `folder`, which is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; choose a new one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.", suffix=PARTIAL_SUFFIX))
    except OSError as error:
        raise write_error(folder, error) from error


def _put(temporary: Path, folder: Path) -> None:
    try:
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)
    except OSError as error:
        raise write_error(folder, error) from error
