import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.data.label_maps import LARGEST, decode_label_map, encode_label_map


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_encoded_maps_are_decoded(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, rng.choice([1, 200, LARGEST + 1]), (height, width)).astype(np.int32)
    content = encode_label_map(label)
    assert content.dtype == np.uint8
    decoded = decode_label_map(content)
    assert decoded.dtype == np.int32
    assert np.array_equal(decoded, label)


def test_a_map_of_few_segments_is_small() -> None:
    label = np.arange(900 * 1600).reshape(900, 1600) // 1600 // 90 * 16
    assert len(encode_label_map(label)) < label.size / 100


@pytest.mark.parametrize("label", [np.array([[-2]]), np.array([[LARGEST + 1]]), np.zeros((0, 3), np.int32)])
def test_ids_out_of_range_are_rejected(label: np.ndarray) -> None:
    with pytest.raises(ValueError, match="ids from -1"):
        encode_label_map(label)


def test_damage_is_reported() -> None:
    content = encode_label_map(np.random.default_rng(0).integers(0, 99, (20, 30)))
    for damaged in (content[:-30], content[1:], content[:0], np.concatenate([content[:60], content[70:]])):
        with pytest.raises(ValueError, match="not a label map as PNG"):
            decode_label_map(damaged)
