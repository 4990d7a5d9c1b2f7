"""Our networks against outputs that the frameworks' own code gave, stored with the commit that made them."""

from dataclasses import replace

import pytest
import torch

from pc_ssl.interop import FRAMEWORKS, layouts
from pc_ssl.interop.convert import PeerNetwork, from_peer, names_of, to_peer
from pc_ssl.interop.networks import build, describe
from pc_ssl.interop.pairs import TOLERANCE, Pair, difference, load, output_of, pair_of, probe
from pc_ssl.interop.rows import Kind

PEERS = [peer for networks in FRAMEWORKS.values() for peer in networks]
NAMES = [f"{peer.framework}-{peer.name}" for peer in PEERS]
all_peers = pytest.mark.parametrize("peer", PEERS, ids=NAMES)

# For each kind of weight another layout of equal shape, and one that is right elsewhere
WRONG = {
    Kind.KERNEL: {
        layouts.SAME: layouts.KRSC_XYZ,
        layouts.KRSC_XYZ: layouts.KRSC_ZYX,
        layouts.RSCK_XYZ: layouts.RSCK_ZYX,
        layouts.MINKOWSKI: layouts.TORCHSPARSE,
        layouts.TORCHSPARSE: layouts.MINKOWSKI,
    },
    Kind.MAP: {layouts.SAME: layouts.MAP_XY, layouts.MAP_XY: layouts.SAME},
}


def where_shapes_agree(wrong: layouts.Layout, right: layouts.Layout) -> layouts.Layout:
    """`wrong` where nothing but the output can tell it from `right`."""

    def to_ours(weight: torch.Tensor) -> torch.Tensor:
        mistaken, correct = wrong.to_ours(weight), right.to_ours(weight)
        return mistaken if mistaken.shape == correct.shape else correct

    return layouts.Layout(to_ours, right.to_peer)


def stored(peer: PeerNetwork) -> Pair:
    pair = pair_of(peer)
    assert pair is not None, f"{peer.framework} {peer.name} has no stored pair"
    return pair


@all_peers
def test_output_equals_that_of_the_peers_own_code(peer: PeerNetwork) -> None:
    pair = stored(peer)
    assert " at " in pair.made_with
    assert pair.path.stat().st_size < 200_000
    assert difference(peer, pair) <= TOLERANCE * pair.scale
    assert float(pair.output.std()) > 0.1  # of a network that does something


@all_peers
def test_a_wrong_permutation_is_seen_in_the_output(peer: PeerNetwork) -> None:
    pair = stored(peer)
    kind = Kind.MAP if peer.network == "PointPillars" else Kind.KERNEL
    right = peer.layouts.get(kind, layouts.SAME)
    wrong = replace(peer, layouts={**peer.layouts, kind: where_shapes_agree(WRONG[kind][right], right)})
    assert difference(wrong, pair) > 1e-2 * pair.scale


@all_peers
def test_every_name_of_the_peer_is_in_its_table_and_nothing_is_missing(peer: PeerNetwork) -> None:
    pair = stored(peer)
    conversion = from_peer(peer, pair.weights)
    assert conversion.unexpected == ()
    assert all(name.endswith("num_batches_tracked") for name in conversion.missing)
    assert conversion.wrong_shape == {}
    expected = {name for name in names_of(peer, pair.description) if not name.endswith("num_batches_tracked")}
    assert expected == {name for name in pair.weights if not name.startswith(peer.heads)}


@all_peers
def test_widths_and_layers_are_found_from_the_weights(peer: PeerNetwork) -> None:
    pair = stored(peer)
    found = from_peer(peer, pair.weights).description
    kept = {
        key: value for key, value in pair.description.items() if key in ("grid", "voxel_size", "max_points", "level")
    }
    with torch.device("meta"):
        ours, theirs = build({**found, **kept}, "found"), build(pair.description, "stored")
    assert describe(ours) == describe(theirs)


@all_peers
def test_weights_that_are_loaded_change_the_output(peer: PeerNetwork) -> None:
    pair = stored(peer)
    weights = {name: value.float() for name, value in from_peer(peer, pair.weights).tensors.items()}
    assert float((probe(pair.description, weights) - probe(pair.description, None)).abs().max()) > 1e-3


@all_peers
def test_there_and_back_gives_the_same_tensors(peer: PeerNetwork) -> None:
    """Bit by bit, but for the intensity column, which is divided and multiplied by 255."""
    pair = stored(peer)
    ours = {name: value.float() for name, value in from_peer(peer, pair.weights, intensity_max=1.0).tensors.items()}
    there = to_peer(peer, ours, pair.description, intensity_max=1.0)
    back = from_peer(peer, there.tensors, pair.description, intensity_max=1.0).tensors
    assert set(back) == set(ours)
    assert all(torch.equal(back[name], ours[name]) for name in ours)
    scaled = from_peer(peer, to_peer(peer, ours, pair.description).tensors, pair.description).tensors
    for name, value in ours.items():
        torch.testing.assert_close(scaled[name], value, rtol=2e-7, atol=0)


@all_peers
def test_another_eps_of_ours_gives_the_same_output_in_evaluation(peer: PeerNetwork) -> None:
    pair = stored(peer)
    other = {**pair.description, "norm_eps": 1e-4}
    network = build(other, "other").double()
    load(network, from_peer(peer, pair.weights, other).tensors)
    found = float((output_of(network, pair.points) - pair.output).abs().max())
    assert found <= TOLERANCE * pair.scale
