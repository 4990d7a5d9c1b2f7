from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.data.sampler import Draw, StepBatches, forward_seed
from pc_ssl.errors import UserError


def rows(batches: StepBatches) -> list[list[int]]:
    return [[draw.row for draw in batch] for batch in batches]


def test_an_epoch_shows_every_frame_once() -> None:
    batches = rows(StepBatches(num_rows=12, batch_size=4, seed=1, first_step=0, last_step=6))
    for epoch in (batches[:3], batches[3:]):
        assert sorted(chain(*epoch)) == list(range(12))
    assert batches[:3] != batches[3:]


def test_no_batch_holds_a_frame_twice_and_the_rest_of_an_epoch_differs() -> None:
    batches = rows(StepBatches(num_rows=7, batch_size=3, seed=0, first_step=0, last_step=120))
    assert all(len(set(batch)) == 3 for batch in batches)
    left_over = [set(range(7)) - set(chain(*batches[start : start + 2])) for start in range(0, 120, 2)]
    assert set.union(*left_over) == set(range(7))


@settings(deadline=None, max_examples=40)
@given(share=st.integers(1, 3), world_size=st.integers(1, 4), extra=st.integers(0, 9), first=st.integers(0, 30))
def test_processes_share_the_batches_that_one_process_would_see(
    share: int, world_size: int, extra: int, first: int
) -> None:
    batch_size = share * world_size
    arguments = {"num_rows": batch_size + extra, "batch_size": batch_size, "seed": 3, "first_step": first}
    whole = list(StepBatches(**arguments, last_step=first + 7))
    shares = [
        list(StepBatches(**arguments, last_step=first + 7, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert whole == [list(chain(*parts)) for parts in zip(*shares, strict=True)]


@settings(deadline=None, max_examples=40)
@given(first=st.integers(0, 50), num_rows=st.integers(3, 20))
def test_starting_later_gives_the_same_batches(first: int, num_rows: int) -> None:
    whole = list(StepBatches(num_rows, 3, seed=5, first_step=0, last_step=60))
    assert list(StepBatches(num_rows, 3, seed=5, first_step=first, last_step=60)) == whole[first:]


def test_another_seed_gives_another_order() -> None:
    assert rows(StepBatches(50, 5, 0, 0, 10)) != rows(StepBatches(50, 5, 1, 0, 10))


def test_randomness_differs_by_seed_epoch_and_row_only() -> None:
    first = {draw: draw.rng().random() for draw in (Draw(0, 0, 0), Draw(1, 0, 0), Draw(0, 1, 0), Draw(0, 0, 1))}
    assert len(set(first.values())) == 4
    assert Draw(2, 7, 3).rng().random() == Draw(2, 7, 3).rng().random()


def test_forward_seeds_differ_by_step_and_rank() -> None:
    seeds = {forward_seed(0, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_row_of_each_position_is_uniform() -> None:
    first = [next(iter(StepBatches(4, 2, seed, 0, 1)))[0].row for seed in range(400)]
    counts = np.bincount(first, minlength=4)
    assert counts.min() > 60  # 100 expected, standard deviation 8.7


def test_a_batch_larger_than_the_data_set_is_rejected() -> None:
    with pytest.raises(UserError, match=r"train\.batch_size is 8, but there are only 5 frames"):
        StepBatches(5, 8, 0, 0, 1)


def test_a_batch_that_cannot_be_shared_is_rejected() -> None:
    with pytest.raises(UserError, match=r"batch_size is 6, which 4 processes cannot share"):
        StepBatches(10, 6, 0, 0, 1, rank=0, world_size=4)
