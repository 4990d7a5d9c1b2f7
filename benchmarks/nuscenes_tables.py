"""Time and memory of reading nuScenes' tables, on made-up tables of the full data set's size.

    python benchmarks/nuscenes_tables.py --share 0.05 --json work_dirs/bench/nuscenes_tables.json

`--share 1` is as large as v1.0-trainval: 34,000 keyframes, 1.56 million recordings and poses of the vehicle, 1.9
million annotations, about 2.3 GB. Each way to start runs in a process of its own: from the tables, from the index that
is kept in the cache's folder, and with nuscenes-devkit (`--peers`). Memory is the most that the process held, with the
libraries that it imports; "before" is what it held then.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from data_prep.jobs import peak_memory
from pc_ssl.files import write_json

VERSION = "v1.0-trainval"
SCENES, KEYFRAMES, BOXES = 850, 40, 56  # keyframes a scene, annotations a keyframe
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
RADARS = ("RADAR_FRONT", "RADAR_FRONT_LEFT", "RADAR_FRONT_RIGHT", "RADAR_BACK_LEFT", "RADAR_BACK_RIGHT")
SWEEPS = {"LIDAR_TOP": 10, **dict.fromkeys(CAMERAS, 3), **dict.fromkeys(RADARS, 4)}  # recordings a keyframe interval
WAYS = ("tables", "index", "devkit")
Record = dict[str, Any]


@dataclass(frozen=True)
class Start:
    """Seconds until the keyframes are listed, and bytes: the most that was held, and before anything was read."""

    way: str
    seconds: float
    peak: int
    before: int

    def __str__(self) -> str:
        return f"{self.way:8} {self.seconds:7.2f} s  {self.peak / 1e6:7.0f} MB at most ({self.before / 1e6:.0f} before)"


def token(*of: object) -> str:
    return md5(repr(of).encode(), usedforsecurity=False).hexdigest()


def write_tables(root: Path, share: float) -> int:
    """Write the tables of a share of the scenes; their size in bytes."""
    folder = root / VERSION
    folder.mkdir(parents=True)
    scenes = range(max(round(SCENES * share), 1))
    logs = [token("log", scene) for scene in scenes]
    tables: dict[str, Callable[[], Iterable[Record]]] = {
        "category": lambda: [{"token": token("category"), "name": "vehicle.car", "description": "", "index": 17}],
        "attribute": lambda: [{"token": token("attribute"), "name": "vehicle.moving", "description": ""}],
        "visibility": lambda: [{"token": "4", "level": "v80-100", "description": ""}],
        "sensor": lambda: ({"token": token(c), "channel": c, "modality": _modality(c)} for c in SWEEPS),
        "calibrated_sensor": lambda: (_calibrated(scene, channel) for scene in scenes for channel in SWEEPS),
        "log": lambda: ({"token": token("log", s), "logfile": "", "location": "singapore-onenorth"} for s in scenes),
        "map": lambda: [{"token": token("map"), "log_tokens": logs, "category": "", "filename": "maps/blank.png"}],
        "scene": lambda: (_scene(scene) for scene in scenes),
        "sample": lambda: (_sample(scene, key) for scene in scenes for key in range(KEYFRAMES)),
        "ego_pose": lambda: (_ego_pose(*at) for at in _recordings(scenes)),
        "sample_data": lambda: (_sample_data(*at) for at in _recordings(scenes)),
        "instance": lambda: (
            {"token": token("i", s, b), "category_token": token("category")} for s in scenes for b in range(BOXES)
        ),
        "sample_annotation": lambda: (
            _annotation(scene, key, box) for scene in scenes for key in range(KEYFRAMES) for box in range(BOXES)
        ),
    }
    for name, records in tables.items():
        with (folder / f"{name}.json").open("w") as file:
            for number, record in enumerate(records()):
                file.write(("[\n" if number == 0 else ",\n") + json.dumps(record, indent=0))
            file.write("\n]")
    (root / "maps").mkdir()
    (root / "maps" / "blank.png").touch()
    return sum(path.stat().st_size for path in folder.iterdir())


def _modality(channel: str) -> str:
    return {"LIDA": "lidar", "CAM_": "camera", "RADA": "radar"}[channel[:4]]


def _recordings(scenes: Iterable[int]) -> Iterator[tuple[int, str, int]]:
    """Scene, channel, number of the recording."""
    for scene in scenes:
        for channel, sweeps in SWEEPS.items():
            for number in range(KEYFRAMES * sweeps):
                yield scene, channel, number


def _calibrated(scene: int, channel: str) -> Record:
    intrinsic = [
        [1266.417203046554, 0.0, 816.2670197447984],
        [0.0, 1266.417203046554, 491.50706579294757],
        [0.0, 0.0, 1.0],
    ]
    return {
        "token": token("cs", scene, channel),
        "sensor_token": token(channel),
        "translation": [0.943713, 0.0, 1.84023],
        "rotation": [0.7077955119163518, -0.006492242056004365, 0.010646214713995808, -0.7063073142877817],
        "camera_intrinsic": intrinsic if channel in CAMERAS else [],
    }


def _time(scene: int, channel: str, number: int) -> int:
    return 1531883530449377 + 60_000_000 * scene + 500_000 * number // SWEEPS[channel]


def _scene(scene: int) -> Record:
    return {
        "token": token("scene", scene),
        "log_token": token("log", scene),
        "nbr_samples": KEYFRAMES,
        "first_sample_token": token("s", scene, 0),
        "last_sample_token": token("s", scene, KEYFRAMES - 1),
        "name": f"scene-{scene:04d}",
        "description": "Parked cars, a bus, pedestrians",
    }


def _sample(scene: int, key: int) -> Record:
    return {
        "token": token("s", scene, key),
        "timestamp": _time(scene, "LIDAR_TOP", key * SWEEPS["LIDAR_TOP"]),
        "prev": token("s", scene, key - 1) if key else "",
        "next": token("s", scene, key + 1) if key + 1 < KEYFRAMES else "",
        "scene_token": token("scene", scene),
    }


def _ego_pose(scene: int, channel: str, number: int) -> Record:
    return {
        "token": token("d", scene, channel, number),
        "timestamp": _time(scene, channel, number),
        "rotation": [0.5720320396729045, -0.0016977771610471074, 0.011798001930183783, -0.8201446642457809],
        "translation": [411.3039349319818 + number / 7, 1180.8903791765097 + scene / 3, 0.0],
    }


def _sample_data(scene: int, channel: str, number: int) -> Record:
    time_us, is_key = _time(scene, channel, number), number % SWEEPS[channel] == 0
    ending = {"lidar": "pcd.bin", "camera": "jpg", "radar": "pcd"}[_modality(channel)]
    last = number + 1 == KEYFRAMES * SWEEPS[channel]
    folder = "samples" if is_key else "sweeps"
    return {
        "token": token("d", scene, channel, number),
        "sample_token": token("s", scene, number // SWEEPS[channel]),
        "ego_pose_token": token("d", scene, channel, number),
        "calibrated_sensor_token": token("cs", scene, channel),
        "timestamp": time_us,
        "fileformat": "jpg" if ending == "jpg" else "pcd",
        "is_key_frame": is_key,
        "height": 900 if ending == "jpg" else 0,
        "width": 1600 if ending == "jpg" else 0,
        "filename": f"{folder}/{channel}/n015-2018-07-18-11-07-57+0800__{channel}__{time_us}.{ending}",
        "prev": token("d", scene, channel, number - 1) if number else "",
        "next": "" if last else token("d", scene, channel, number + 1),
    }


def _annotation(scene: int, key: int, box: int) -> Record:
    return {
        "token": token("a", scene, key, box),
        "sample_token": token("s", scene, key),
        "instance_token": token("i", scene, box),
        "visibility_token": "4",
        "attribute_tokens": [token("attribute")],
        "translation": [373.214 + key / 3, 1130.48 + box, 1.25],
        "size": [0.621, 0.669, 1.642],
        "rotation": [0.9831098797903927, 0.0, 0.0, -0.18301629506281616],
        "prev": token("a", scene, key - 1, box) if key else "",
        "next": token("a", scene, key + 1, box) if key + 1 < KEYFRAMES else "",
        "num_lidar_pts": 5,
        "num_radar_pts": 0,
    }


def start(way: str, root: Path, out: Path) -> Start:
    """List the keyframes, in this process."""
    before, begin = peak_memory(), time.process_time()
    if way == "devkit":
        from nuscenes.nuscenes import NuScenes

        count = len(NuScenes(VERSION, str(root), verbose=False).sample)
    else:
        from data_prep.nuscenes import NuScenesReader
        from data_prep.nuscenes_index import INDEX

        index = out / INDEX
        if way == "tables":
            index.unlink(missing_ok=True)
        reader = NuScenesReader(root, VERSION, 10, index=index)
        frames = reader.frames(None)
        reader.source(frames[-1])
        count = len(frames)
    if count % KEYFRAMES:
        raise RuntimeError(f"{way}: lists {count} keyframes")
    return Start(way, time.process_time() - begin, peak_memory(), before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.05, help="of the full data set's size")
    parser.add_argument("--peers", action="store_true", help="also run nuscenes-devkit")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--start", nargs=3, metavar=("WAY", "ROOT", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        way, root, out = arguments.start
        print(json.dumps(asdict(start(way, Path(root), Path(out)))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "root"), Path(folder, "cache")
        out.mkdir()
        size = write_tables(root, arguments.share)
        print(f"tables of {arguments.share:g} of the data set: {size / 1e6:.0f} MB")
        starts = []
        for way in WAYS if arguments.peers else WAYS[:2]:
            command = [sys.executable, __file__, "--start", way, str(root), str(out)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            starts.append(Start(**json.loads(done.stdout)))
            print(starts[-1])
    if arguments.json is not None:
        write_json(arguments.json, {"share": arguments.share, "bytes": size, "starts": [asdict(s) for s in starts]})


if __name__ == "__main__":
    main()
