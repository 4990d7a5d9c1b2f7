"""`pc-ssl report`: one HTML page of a cache or a run; the type is detected from the folder's contents.

For a cache, a recording for the Rerun viewer is written too, if its package is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pc_ssl.config import load_config
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.data.content import with_images
from pc_ssl.engine.downstream import load_task
from pc_ssl.engine.run_folder import RunFolder
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import CONFIG, RESULT, WEIGHTS, RunResult
from pc_ssl.files import read_json, write_bytes
from pc_ssl.report import downstream, html, sections
from pc_ssl.report.recording import MISSING, save_recording, viewer_sdk

PAGE = "report.html"
TRAIN = "train"  # folder of a fine-tuning's training run, below that of its result


def report(folder: Path, out: Path | None = None) -> Path:
    """Write a self-contained page about `folder`, and for a cache a recording next to it with the same name, .rrd.

    Args:
        folder: a cache, or the work folder of a pretraining, probe, fine-tuning or evaluation.
        out: the file to write; None: report.html in `folder`.

    Returns:
        The file that was written.

    Raises:
        UserError: the folder holds none of these, or something damaged; the page cannot be written.
    """
    path = out or folder / PAGE
    if (folder / MANIFEST).exists():
        parts = of_cache(Cache(folder), path.with_suffix(".rrd"))
    elif (folder / RESULT).exists():
        parts = of_result(folder)
    elif RunFolder(folder).settings.exists():
        parts = of_training(folder)
    else:
        raise UserError(
            f"{folder}: holds neither a cache ({MANIFEST}) nor a run ({RESULT}, {RunFolder(folder).settings.name})"
        )
    write_bytes(path, html.page(f"pc_ssl: {folder}", parts).encode())
    return path


def of_cache(cache: Cache, recording: Path) -> list[str]:
    """What the cache holds, and three of its frames; its first scene is saved as a recording.

    Raises:
        UserError: the recording cannot be written, or a frame is damaged.
    """
    parts = sections.contents(cache)
    if len(cache) == 0:
        return parts
    sdk = viewer_sdk()
    if sdk is None:
        print(MISSING, file=sys.stderr)
        return [*parts, html.paragraph(f"{MISSING}."), *sections.frames(cache)]
    save_recording(cache, recording, sdk)
    note = f"{recording.name} holds the frames of {cache.frames[0].scene} for the Rerun viewer."
    return [*parts, html.paragraph(note), *sections.frames(cache)]


def of_training(folder: Path) -> list[str]:
    """Terms of the loss over the steps, and the settings.

    Raises:
        UserError: the log or the settings are missing or damaged.
    """
    path = RunFolder(folder).settings
    content = read_json(path)
    settings = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: field 'settings' is missing; not a run of pc_ssl")
    rows = [[name, str(value)] for name, value in settings.items()]
    table = html.table(["setting", "value"], rows, "Everything that the run's numbers depend on.")
    return [*sections.training({folder.name: folder}), html.heading("Settings"), table]


def of_result(folder: Path) -> list[str]:
    """The result of a downstream run; if its cache is available, also the network's predictions for one evaluated
    frame.

    Raises:
        UserError: the result is damaged.
    """
    run = RunResult.read(folder / RESULT)
    outcome = f"{run.result.headline} over {run.result.num_frames} keyframes"
    parts = [
        html.paragraph(
            f"{run.settings['command']} on {run.paths['cache']}, started from {run.origin}: {outcome} of split "
            f"{run.settings['val_split']}."
        ),
        *downstream.scores(run),
    ]
    if (folder / TRAIN).exists():
        parts += sections.training({run.settings["command"]: folder / TRAIN})
    weights = Path(run.paths["weights"] or "") if run.settings["command"] == "evaluate" else folder / WEIGHTS
    try:
        cache = Cache(Path(run.paths["cache"] or ""))
        task, split = load_task(load_config(folder / CONFIG), cache, weights), run.settings["val_split"]
        rows = with_images(cache, cache.indices(split), task.views.reads, f"split {split}")
        return [*parts, *downstream.pictures(task, cache, rows[len(rows) // 2])]
    except UserError as error:
        return [*parts, html.paragraph(f"No pictures of the network: {error}.")]
