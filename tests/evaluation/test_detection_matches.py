"""nuScenes' scores of resampled scenes, against the devkit's evaluation of scenes that are there several times."""

import json
from dataclasses import replace

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval

from pc_ssl.evaluation.detection_matches import ERRORS, ClassMatches, ResampledDetection, match_scene
from pc_ssl.evaluation.detection_result import ClassDetection, DetectionResult

CONFIG = config_factory("detection_cvpr_2019")
SCENES = ("a", "b", "c")
UNDEFINED = dict.fromkeys(CONFIG.class_names, ()) | {
    "traffic_cone": ("attr", "vel", "orient"), "barrier": ("attr", "vel")
}  # fmt: skip
TIMES = np.array([[1, 1, 1], [0, 2, 0], [3, 0, 1], [0, 0, 0]])


def boxes_of(scene: str, copies: int = 1, tied: bool = False) -> tuple[EvalBoxes, EvalBoxes, list[str]]:
    """Two frames with boxes of four classes, some without velocity, and guesses near and far."""
    truth, found, tokens = EvalBoxes(), EvalBoxes(), []
    for copy in range(copies):
        for frame in range(2):
            rng = np.random.default_rng([*scene.encode(), frame])
            token = f"{scene}{frame}-{copy}"
            tokens.append(token)
            own, guesses = [], []
            for number in range(25):
                name = ("car", "pedestrian", "barrier", "traffic_cone")[number % (3 + (scene == "b"))]
                content = {
                    "sample_token": token, "translation": [*rng.uniform(-20, 20, 2), 0.0], "num_pts": 3,
                    "size": rng.uniform(1, 4, 3).tolist(), "rotation": [np.cos(number), 0.0, 0.0, np.sin(number)],
                    "velocity": [np.nan, np.nan] if number % 7 == 0 else rng.normal(0, 2, 2).tolist(),
                    "detection_name": name,
                    "attribute_name": {"car": "vehicle.moving", "pedestrian": "pedestrian.moving"}.get(name, ""),
                }  # fmt: skip
                own.append(DetectionBox.deserialize(content))
                near = rng.normal(0, 0.8, 2) if number % 5 else rng.normal(0, 9, 2)
                guesses.append(
                    DetectionBox.deserialize(
                        content | {
                            "translation": [*(np.array(content["translation"][:2]) + near), 0.0],
                            "size": rng.uniform(1, 4, 3).tolist(), "velocity": rng.normal(0, 2, 2).tolist(),
                            "detection_score": float(np.float32(rng.integers(1, 12) / 12 if tied else rng.random())),
                            "attribute_name": "" if name not in ("car", "pedestrian") else
                            ("vehicle.moving", "vehicle.parked")[number % 2] if name == "car" else "pedestrian.moving",
                        }
                    )
                )  # fmt: skip
            truth.add_boxes(token, own)
            found.add_boxes(token, guesses)
    return truth, found, tokens


def by_devkit(times: np.ndarray, tied: bool = False) -> tuple[float, float]:
    judge = DetectionEval.__new__(DetectionEval)
    judge.cfg, judge.verbose, judge.gt_boxes, judge.pred_boxes = CONFIG, False, EvalBoxes(), EvalBoxes()
    for scene, count in zip(SCENES, times, strict=True):
        truth, found, tokens = boxes_of(scene, int(count), tied)
        for token in tokens:
            judge.gt_boxes.add_boxes(token, truth[token])
            judge.pred_boxes.add_boxes(token, found[token])
    metrics, _ = judge.evaluate()
    return metrics.nd_score, metrics.mean_ap


def matched(tied: bool = False) -> dict[str, dict[str, ClassMatches]]:
    return {scene: match_scene(*boxes_of(scene, 1, tied), CONFIG.class_names, CONFIG.dist_ths) for scene in SCENES}


@pytest.fixture(scope="module")
def scenes() -> dict[str, dict[str, ClassMatches]]:
    return matched()


def test_scores_are_the_devkits_on_repeated_scenes(scenes: dict[str, dict[str, ClassMatches]]) -> None:
    found = ResampledDetection(list(scenes.values()), UNDEFINED, CONFIG.dist_ths).scores(TIMES)
    for k, times in enumerate(TIMES[:3]):
        nds, precision = by_devkit(times)
        assert 0.02 < nds < 0.6
        assert found["map"][k] == pytest.approx(precision, abs=1e-9)
        assert found["nds"][k] == pytest.approx(nds, abs=1e-9)
    assert all(np.isnan(values[3]) for values in found.values())


def test_equal_scores_are_ordered_as_in_the_devkit() -> None:
    found = ResampledDetection(list(matched(tied=True).values()), UNDEFINED, CONFIG.dist_ths).scores(TIMES[:1])
    nds, precision = by_devkit(TIMES[0], tied=True)
    assert (found["nds"][0], found["map"][0]) == pytest.approx((nds, precision), abs=1e-9)


def test_a_class_without_boxes_is_not_in_the_annotated_score(scenes: dict[str, dict[str, ClassMatches]]) -> None:
    """Ten classes, of which a shows three: its mean precision over them is 10 / 3 of that over all."""
    found = ResampledDetection(list(scenes.values()), UNDEFINED, CONFIG.dist_ths).scores(np.array([[1, 0, 0]]))
    assert found["map_annotated"][0] == pytest.approx(found["map"][0] * 10 / 3)


def test_matches_by_hand() -> None:
    """Of two guesses at 0.7 m and 0.2 m of one box, the one of higher score is right from 1 m on, the other never."""
    truth, found = EvalBoxes(), EvalBoxes()
    box = {
        "sample_token": "t", "translation": [5.0, 0.0, 0.0], "size": [2.0, 4.0, 2.0], "rotation": [1.0, 0.0, 0.0, 0.0],
        "velocity": [1.0, 0.0], "detection_name": "car", "attribute_name": "vehicle.moving", "num_pts": 5,
    }  # fmt: skip
    truth.add_boxes("t", [DetectionBox.deserialize(box)])
    guesses = [
        box | {"translation": [5.2, 0.0, 0.0], "detection_score": 0.25},
        box | {"translation": [5.7, 0.0, 0.0], "detection_score": 0.5, "velocity": [1.0, 2.0]},
    ]
    found.add_boxes("t", [DetectionBox.deserialize(guess) for guess in guesses])
    of = match_scene(truth, found, ["t"], ["car"], CONFIG.dist_ths)["car"]
    assert (of.boxes, of.with_velocity, of.with_attribute, of.score) == (1, 1, 1, (0.25, 0.5))
    assert of.matched == (0b0001, 0b1110)  # at 0.5 m the higher score misses, so that the lower one finds the box
    assert of.errors == (pytest.approx((0.7, 0.0, 0.0, 2.0, 0.0)),)


def test_matches_survive_json_in_a_result(scenes: dict[str, dict[str, ClassMatches]]) -> None:
    classes = tuple(
        ClassDetection(name, 1, 1, 1, 1, (0.5,) * 4, {e: None if e in UNDEFINED[name] else 0.5 for e in ERRORS}, ())
        for name in CONFIG.class_names
    )
    result = DetectionResult(0.5, 0.5, classes, (), tuple(CONFIG.dist_ths), 6, scenes)
    again = DetectionResult.from_dict(json.loads(json.dumps(result.as_dict(), allow_nan=False)))
    assert again == result
    assert again.scene_names == SCENES
    expected = ResampledDetection(list(scenes.values()), UNDEFINED, CONFIG.dist_ths).scores(TIMES)
    np.testing.assert_array_equal(again.resampled(TIMES)["nds"], expected["nds"])
    earlier = replace(result, scenes={})
    assert earlier.scene_names == ()
    assert np.isnan(earlier.resampled(np.zeros((1, 0), np.int64))["map"]).all()
