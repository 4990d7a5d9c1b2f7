from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pc_ssl.data.cache import Cache
from pc_ssl.data.class_balance import class_balanced_rows, classes_of_boxes


def drawn_for(rows: list[int], classes: list[list[int]], number: int) -> int:
    return sum(number in classes[row] for row in rows)


def test_classes_that_do_not_occur_together_are_drawn_equally_often() -> None:
    classes = [[0]] * 90 + [[1, 1]] * 9 + [[2]]
    rows = class_balanced_rows(classes, 3, seed=0)
    assert [drawn_for(rows, classes, number) for number in range(3)] == [33, 33, 33]
    seen = Counter(rows)
    assert seen[99] == 33  # the only frame of its class
    assert {seen[row] for row in range(90, 99)} == {3, 4}
    assert max(seen[row] for row in range(90)) == 1


@given(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=40), st.integers(0, 100))
def test_every_class_gets_its_draws(classes: list[list[int]], seed: int) -> None:
    rows = class_balanced_rows(classes, 5, seed)
    occurring = [n for n in range(5) if any(n in of_row for of_row in classes)]
    shown = sum(len({n for n in of_row if n < 5}) for of_row in classes)
    assert len(rows) == (round(shown / len(occurring)) * len(occurring) if occurring else 0)
    assert all(drawn_for(rows, classes, n) >= round(shown / len(occurring)) for n in occurring)
    assert all(any(n < 5 for n in classes[row]) for row in rows)


def test_rows_are_a_function_of_classes_and_seed() -> None:
    rng = np.random.default_rng(0)
    classes = [rng.integers(0, 4, rng.integers(1, 4)) for _ in range(50)]
    assert class_balanced_rows(classes, 4, 7) == class_balanced_rows(classes, 4, 7)
    assert class_balanced_rows(classes, 4, 7) != class_balanced_rows(classes, 4, 8)


def test_frames_without_classes_are_left_out() -> None:
    assert class_balanced_rows([[5], []], 5, 0) == []
    assert class_balanced_rows([], 5, 0) == []


def test_frequencies_of_rare_and_frequent_classes_are_closer() -> None:
    rng = np.random.default_rng(0)
    classes = [[0] + [1] * (rng.random() < 0.5) + [2] * (rng.random() < 0.05) for _ in range(400)]
    before = [drawn_for(list(range(400)), classes, n) / 400 for n in range(3)]
    rows = class_balanced_rows(classes, 3, 0)
    after = [drawn_for(rows, classes, n) / len(rows) for n in range(3)]
    assert before[2] / before[0] < 0.1
    assert after[2] / after[0] > 0.3


def test_classes_are_read_from_the_cache(street_cache: Cache) -> None:
    classes = classes_of_boxes(street_cache, [0, 3])
    assert [of_frame.tolist() for of_frame in classes] == [[0] * 6, [0] * 6]
