from pathlib import Path

import pytest

from data_prep.image_times import matched_by_time, seconds_of


@pytest.mark.parametrize(
    ("stem", "seconds"),
    [
        ("1690000000.25", 1690000000.25),
        ("1690000000250", 1690000000.25),
        ("1690000000250000", 1690000000.25),
        ("1690000000250000000", 1690000000.25),
        ("000012", None),
        ("1690000000", None),  # whole seconds are too coarse, and may be a number
        ("frame_1690000000250", None),
    ],
)
def test_times_are_known_by_their_digits(stem: str, seconds: float | None) -> None:
    assert seconds_of(stem) == pytest.approx(seconds, abs=1e-6)


def named(*milliseconds: int) -> list[Path]:
    return [Path(f"{1_690_000_000_000 + value}.jpg") for value in milliseconds]


def test_each_image_goes_to_the_nearest_points_once() -> None:
    points, images = named(0, 30, 100, 500), named(28, 103, 900)
    matched = matched_by_time(points, images, 0.05)
    assert matched == {points[1].stem: images[0], points[2].stem: images[1]}


def test_names_that_are_numbers_match_nothing() -> None:
    assert matched_by_time([Path("1.bin"), *named(0)], named(0), 1.0) == {}
    assert matched_by_time(named(0), [], 1.0) == {}
