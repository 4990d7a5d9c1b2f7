"""Complete rooms: the furniture of bedrooms, living rooms, offices, kitchens and bathrooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.indoor import bath, clutter, seating, shell, storage, tables
from data_prep.simulate.indoor.layout import DOOR_CLEARANCE, Layout, Placed
from data_prep.simulate.indoor.piece import CERAMICS, PAINTS, Piece, pick, uniform
from data_prep.simulate.indoor.shell import REVEAL, Opening, Wall

Maker = Callable[[np.random.Generator], Piece]


@dataclass(frozen=True)
class Room:
    """A furnished room; its frame has the origin in a corner of the floor, x and y along the walls, z up; metres.

    Args:
        kind: ScanNet's sceneType.
        size: length (x), width (y), height.
        pieces: in the room's frame; each is one annotated instance.
        window: [W, 3] centre of each window's opening, a source of daylight.
    """

    kind: str
    size: tuple[float, float, float]
    pieces: tuple[Piece, ...]
    window: NDArray[np.float64]


def build_room(index: int, rng: np.random.Generator) -> Room:
    """Room number `index`; the kinds of rooms alternate."""
    kind, floor_low, floor_high, furnish = KINDS[index % len(KINDS)]
    length, width = (uniform(rng, low, high) for low, high in zip(floor_low, floor_high, strict=True))
    height, wet = uniform(rng, 2.4, 2.9), kind in ("Bathroom", "Kitchen")
    walls, door_wall, window_walls = _cut_openings(rng, shell.four_walls(length, width), height)
    layout = Layout(length, width, height, walls, rng)
    layout.add(shell.floor(rng, length, width, tiled=wet))
    layout.add(shell.ceiling(length, width, height))
    colors, skirting = shell.paint(rng, CERAMICS + PAINTS[:3] if wet else PAINTS, accent_share=0.3), pick(rng, CERAMICS)
    for wall, color in zip(walls, colors, strict=True):
        layout.add(shell.wall_piece(wall, height, color, skirting))
    _hang_door(layout, walls[door_wall])
    _corner(layout, height, colors[0])
    window = [_glaze(layout, walls[side], wet) for side in window_walls]
    furnish(layout)
    return Room(kind, (length, width, height), tuple(layout.pieces), np.array(window).reshape(-1, 3))


def _cut_openings(rng: np.random.Generator, walls: list[Wall], height: float) -> tuple[list[Wall], int, list[int]]:
    """A door in one wall, a window in one or two others."""
    order = rng.permutation(4).tolist()
    windows = order[1 : 2 + int(rng.random() < 0.4)]
    door_width, limit = uniform(rng, 0.78, 0.95), 0.5 * walls[order[0]].length
    y = uniform(rng, -limit + 0.15, limit - 0.15 - door_width)
    walls[order[0]] = replace(walls[order[0]], openings=(Opening(y, y + door_width, 0.0, uniform(rng, 2.0, 2.1)),))
    for side in windows:
        span = walls[side].length
        wide = min(uniform(rng, 0.7, 2.0), span - 0.8)
        y = uniform(rng, -0.5 * span + 0.35, 0.5 * span - 0.35 - wide)
        sill = uniform(rng, 0.85, 1.15)
        walls[side] = replace(
            walls[side], openings=(Opening(y, y + wide, sill, min(height - 0.2, sill + uniform(rng, 0.9, 1.3))),)
        )
    return walls, order[0], windows


def _hang_door(layout: Layout, wall: Wall) -> None:
    opening = wall.openings[0]
    layout.add(shell.door(layout.rng, opening).moved(wall.room_from_wall))
    corner = np.array([[0, opening.y0, 0], [DOOR_CLEARANCE, opening.y1, 2.0]])
    moved = corner @ wall.room_from_wall[:3, :3].T + wall.room_from_wall[:3, 3]
    layout.keep_free(moved.min(0), moved.max(0))


def _corner(layout: Layout, height: float, color: tuple[int, int, int]) -> None:
    """Add a shaft in a corner of some rooms."""
    rng = layout.rng
    if min(layout.length, layout.width) < 2.8 or rng.random() > 0.35:
        return
    x, y = uniform(rng, 0.35, 1.0), uniform(rng, 0.35, 1.0)
    x0 = 0.0 if rng.random() < 0.5 else layout.length - x
    y0 = 0.0 if rng.random() < 0.5 else layout.width - y
    hidden = [
        opening
        for wall in layout.walls
        for opening in wall.openings
        if _covers(wall, opening, (x0, x0 + x), (y0, y0 + y))
    ]
    if not hidden:
        layout.place(shell.corner_block(x0, x0 + x, y0, y0 + y, height, color), np.eye(4))


def _covers(wall: Wall, opening: Opening, x: tuple[float, float], y: tuple[float, float]) -> bool:
    ends = np.array([[0.0, opening.y0 - 0.1, 0.0], [0.5, opening.y1 + 0.1, 0.0]])
    ends = ends @ wall.room_from_wall[:3, :3].T + wall.room_from_wall[:3, 3]
    low, high = ends.min(0), ends.max(0)
    return bool(low[0] < x[1] and x[0] < high[0] and low[1] < y[1] and y[0] < high[1])


def _glaze(layout: Layout, wall: Wall, wet: bool) -> NDArray[np.float64]:
    """Add a window, a radiator under it and curtains; returns the centre of the opening in the room's frame."""
    rng, opening = layout.rng, wall.openings[0]
    side = next(k for k, other in enumerate(layout.walls) if other is wall)
    layout.add(shell.window(rng, opening).moved(wall.room_from_wall))
    if rng.random() < (0.2 if wet else 0.75):
        low, top = (0.05 if rng.random() < 0.6 else opening.z0 - 0.15), opening.z1 + 0.12
        for end, sign in ((opening.y0, -1), (opening.y1, 1)):
            width = uniform(rng, 0.35, 0.7)
            cloth = bath.hanging_cloth(rng, "curtain", width, low, top)
            step = np.eye(4)
            step[:3, 3] = 0.12, end + sign * 0.2, 0.0
            layout.place(cloth, wall.room_from_wall @ step)
    if rng.random() < 0.5:
        layout.at_wall(storage.radiator(rng), (side,), at=0.5 * (opening.y0 + opening.y1), gap=0.03)
    middle = np.array([-REVEAL, 0.5 * (opening.y0 + opening.y1), 0.5 * (opening.z0 + opening.z1)])
    return wall.room_from_wall[:3, :3] @ middle + wall.room_from_wall[:3, 3]


def _bedroom(layout: Layout) -> None:
    rng = layout.rng
    bed = layout.at_wall(seating.bed(rng))
    if bed is not None:
        _pillows(layout, bed, 1, 4)
        y = 0.5 * bed.piece.size()[1] + 0.35
        back = float(bed.piece.mesh.bounds()[0][0])
        for side in (-1, 1):
            if rng.random() < 0.7:
                stand = storage.nightstand(rng)
                placed = layout.relative(stand, bed, back + 0.5 * stand.size()[0], side * y, 0.0)
                _clutter(layout, placed, (clutter.table_lamp, clutter.book, clutter.cup), 1, 2)
        if rng.random() < 0.5:
            layout.relative(clutter.rug(rng), bed, 0.9, 0.0, 0.5 * np.pi)
    _at_walls(layout, (storage.wardrobe, storage.dresser), 1, 3, (clutter.table_lamp, clutter.book, clutter.plant))
    if rng.random() < 0.6:
        _workplace(layout)
    _at_walls(
        layout, (storage.bookshelf, seating.armchair, clutter.floor_lamp, storage.cabinet), 0, 2, (clutter.plant,)
    )
    _decorate(layout, (clutter.picture, clutter.picture, clutter.mirror, storage.wall_shelf), 1, 4)
    _on_floor(layout, (clutter.backpack, clutter.cardboard_box, clutter.trash_can, clutter.plant), 1, 4)


def _living_room(layout: Layout) -> None:
    rng = layout.rng
    sofa = layout.at_wall(seating.couch(rng))
    if sofa is not None:
        _pillows(layout, sofa, 0, 3, z=0.45)
        coffee = layout.relative(tables.coffee_table(rng), sofa, uniform(rng, 1.0, 1.4), uniform(rng, -0.3, 0.3), 0.0)
        _clutter(layout, coffee, (clutter.book, clutter.cup, clutter.bottle, clutter.plant), 0, 4)
        for yaw in (0.6 * np.pi, -0.6 * np.pi):
            if rng.random() < 0.6:
                side = 1.35 if yaw < 0 else -1.35
                layout.relative(seating.armchair(rng), sofa, uniform(rng, 1.4, 2.0), side * uniform(rng, 1.0, 1.4), yaw)
    cabinet = layout.at_wall(storage.cabinet(rng))
    if cabinet is not None and rng.random() < 0.7:
        layout.on(clutter.tv(rng), cabinet, yaw=0.0)
    _at_walls(
        layout,
        (storage.bookshelf, storage.cabinet, storage.bookshelf),
        1,
        3,
        (clutter.plant, clutter.book, clutter.table_lamp),
    )
    if rng.random() < 0.7:
        _dining(layout)
    _at_walls(layout, (clutter.floor_lamp, seating.armchair), 0, 2, ())
    _decorate(layout, (clutter.picture, clutter.picture, clutter.picture, storage.wall_shelf, clutter.mirror), 1, 5)
    _on_floor(layout, (clutter.plant, clutter.cardboard_box, clutter.backpack, clutter.rug, clutter.trash_can), 1, 4)


def _office(layout: Layout) -> None:
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        _workplace(layout)
    _at_walls(
        layout,
        (storage.bookshelf, storage.cabinet, storage.bookshelf, storage.wardrobe),
        1,
        4,
        (clutter.book, clutter.cardboard_box),
    )
    if rng.random() < 0.5:
        _dining(layout)
    if rng.random() < 0.3:
        _at_walls(layout, (seating.couch,), 1, 1, ())
    _decorate(layout, (clutter.whiteboard, clutter.picture, storage.wall_shelf, clutter.picture), 1, 4)
    _on_floor(
        layout, (clutter.trash_can, clutter.cardboard_box, clutter.backpack, seating.office_chair, clutter.plant), 2, 5
    )


def _kitchen(layout: Layout) -> None:
    rng = layout.rng
    side = int(rng.integers(4))
    for wall in (side, (side + 1) % 4)[: 1 + int(rng.random() < 0.5)]:
        _kitchen_run(layout, wall, with_sink=wall == side)
    layout.at_wall(storage.refrigerator(rng))
    _dining(layout)
    _at_walls(layout, (storage.cabinet, storage.wall_shelf, clutter.trash_can), 0, 3, (clutter.bottle, clutter.cup))
    _decorate(layout, (clutter.picture, storage.wall_shelf), 0, 3)
    _on_floor(layout, (clutter.trash_can, clutter.cardboard_box, seating.chair), 1, 3)


def _bathroom(layout: Layout) -> None:
    rng = layout.rng
    tub = layout.at_wall(bath.bathtub(rng), gap=0.0)
    if tub is not None and rng.random() < 0.8:
        depth, span, _ = tub.piece.size()
        cloth = bath.hanging_cloth(rng, "shower curtain", span * uniform(rng, 0.35, 0.8), 0.15, uniform(rng, 1.9, 2.1))
        layout.relative(cloth, tub, 0.5 * depth + 0.04, uniform(rng, -0.1, 0.1) * span, 0.0)
    layout.at_wall(bath.toilet(rng))
    if rng.random() < 0.5:
        layout.at_wall(bath.sink(rng), gap=0.0)
    else:
        case, basin = bath.vanity(rng)
        placed = layout.at_wall(case)
        if placed is not None:
            layout.relative(basin, placed, 0.02, -0.05, 0.0)
            _clutter(layout, placed, (clutter.bottle, clutter.cup), 0, 2)
    _at_walls(layout, (storage.cabinet, clutter.trash_can), 0, 2, (clutter.bottle, clutter.plant))
    _decorate(layout, (clutter.mirror, clutter.towel, clutter.towel, clutter.picture), 2, 4)
    _on_floor(layout, (clutter.trash_can, clutter.cardboard_box), 0, 2)


KINDS = (  # sceneType, smallest and largest (length, width) of the floor in metres, furnishing function
    ("Bedroom / Hotel", (3.2, 3.0), (5.2, 4.6), _bedroom),
    ("Living room / Lounge", (4.0, 3.6), (6.5, 5.5), _living_room),
    ("Office", (3.2, 3.0), (6.5, 5.0), _office),
    ("Kitchen", (3.0, 2.8), (5.0, 4.2), _kitchen),
    ("Bathroom", (2.4, 2.1), (3.8, 3.0), _bathroom),
)


def _kitchen_run(layout: Layout, wall: int, with_sink: bool) -> None:
    """Base cabinets under one counter, a sink in it, cabinets above."""
    rng = layout.rng
    depth, height = uniform(rng, 0.55, 0.62), uniform(rng, 0.82, 0.9)
    width = min(uniform(rng, 1.6, 3.2), layout.walls[wall].length - 0.1)
    cabinet = layout.at_wall(storage.base_cabinet(rng, depth, width, height), (wall,))
    if cabinet is None:
        return
    top = float(cabinet.piece.mesh.bounds()[1][2])
    counter = layout.relative(storage.counter(rng, depth, width, top), cabinet, 0.0, 0.0, 0.0)
    if counter is None:
        return
    if with_sink:
        sink = bath.kitchen_sink(rng, counter.piece.shelves[0].z)
        layout.relative(sink, counter, 0.03, uniform(rng, -0.3, 0.3) * (width - 0.8), 0.0)
    upper = storage.wall_cabinet(rng, width * uniform(rng, 0.4, 1.0))
    y = float(
        layout.walls[wall].room_from_wall[:3, 1] @ (cabinet.room_from_object - layout.walls[wall].room_from_wall)[:3, 3]
    )
    layout.at_wall(upper, (wall,), at=y, gap=0.0)
    _clutter(layout, counter, (clutter.bottle, clutter.cup, clutter.cardboard_box, clutter.plant), 1, 5)


def _workplace(layout: Layout) -> None:
    rng = layout.rng
    desk = layout.at_wall(tables.desk(rng)) if rng.random() < 0.75 else _in_the_middle(layout, tables.desk(rng))
    if desk is None:
        return
    reach = float(desk.piece.mesh.bounds()[1][0])
    seat = seating.office_chair(rng) if rng.random() < 0.75 else seating.chair(rng)
    layout.relative(
        seat, desk, min(reach, 0.45) + uniform(rng, 0.05, 0.4), uniform(rng, -0.3, 0.3), np.pi + uniform(rng, -0.5, 0.5)
    )
    for _ in range(int(rng.integers(0, 3))):
        layout.on(clutter.monitor(rng), desk, yaw=uniform(rng, -0.3, 0.3))
    _clutter(layout, desk, (clutter.keyboard, clutter.book, clutter.table_lamp, clutter.cup, clutter.bottle), 1, 5)


def _dining(layout: Layout) -> None:
    """A table with chairs on its sides, drawn up or pulled back."""
    rng = layout.rng
    table = _in_the_middle(layout, tables.table(rng))
    if table is None:
        return
    make = seating.chair if rng.random() < 0.8 else seating.office_chair
    depth, width, _ = table.piece.size()
    style = int(rng.integers(1 << 31))  # all chairs of a table have the same design
    seats = max(1, int(width / 0.7))
    places = [(side, y) for side in (-1, 1) for y in np.linspace(-0.5 * width, 0.5 * width, seats + 2)[1:-1]]
    for side, y in places:
        if rng.random() < 0.85:
            x = side * (0.5 * depth + uniform(rng, -0.05, 0.3))
            facing = np.pi if side > 0 else 0.0
            layout.relative(make(np.random.default_rng(style)), table, x, float(y), facing + uniform(rng, -0.35, 0.35))
    _clutter(layout, table, (clutter.cup, clutter.bottle, clutter.book, clutter.plant), 0, 4)


def _in_the_middle(layout: Layout, piece: Piece) -> Placed | None:
    margin = 0.25
    low = (margin * layout.length, margin * layout.width)
    return layout.anywhere(piece, low, ((1 - margin) * layout.length, (1 - margin) * layout.width), turned=False)


def _at_walls(layout: Layout, makers: tuple[Maker, ...], least: int, most: int, small: tuple[Maker, ...]) -> None:
    for _ in range(int(layout.rng.integers(least, most + 1))):
        placed = layout.at_wall(_one_of(layout, makers))
        _clutter(layout, placed, small, 0, 3)


def _decorate(layout: Layout, makers: tuple[Maker, ...], least: int, most: int) -> None:
    for _ in range(int(layout.rng.integers(least, most + 1))):
        layout.at_wall(_one_of(layout, makers), gap=0.005)


def _on_floor(layout: Layout, makers: tuple[Maker, ...], least: int, most: int) -> None:
    for _ in range(int(layout.rng.integers(least, most + 1))):
        layout.anywhere(_one_of(layout, makers), (0.2, 0.2), (layout.length - 0.2, layout.width - 0.2), turned=True)


def _clutter(layout: Layout, to: Placed | None, makers: tuple[Maker, ...], least: int, most: int) -> None:
    """Place between `least` and `most` small objects on a placed piece."""
    if to is None or not makers:
        return
    for _ in range(int(layout.rng.integers(least, most + 1))):
        layout.on(_one_of(layout, makers), to)


def _pillows(layout: Layout, to: Placed, least: int, most: int, z: float | None = None) -> None:
    """Pillows on a bed's shelf, or on a sofa's seat at the height z."""
    rng = layout.rng
    for _ in range(int(rng.integers(least, most + 1))):
        if z is None:
            layout.on(seating.pillow(rng), to)
        else:
            half = 0.35 * to.piece.size()[1]
            layout.relative(seating.pillow(rng), to, 0.1, uniform(rng, -half, half), uniform(rng, -0.5, 0.5), z)


def _one_of(layout: Layout, makers: tuple[Maker, ...]) -> Piece:
    return makers[int(layout.rng.integers(len(makers)))](layout.rng)
