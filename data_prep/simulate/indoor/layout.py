"""Places pieces in a room so that they do not intersect and the doors can open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.indoor.piece import Piece
from data_prep.simulate.indoor.shell import Wall
from pc_ssl.geometry import rotation_about_z, transform_from

TRIES = 30  # attempts to place a piece before it is left out
DOOR_CLEARANCE = 0.8  # metres kept free in front of a door
GAP = 0.02  # metres between neighbours


@dataclass(frozen=True)
class Placed:
    """A piece in the room's frame and its room_from_object [4, 4]."""

    piece: Piece
    room_from_object: NDArray[np.float64]


@dataclass
class Layout:
    """A room being furnished: the rectangle 0..length x 0..width, `height` high.

    `taken` holds the axis-aligned boxes that new pieces must not touch: low [3], high [3] and the owner.
    """

    length: float
    width: float
    height: float
    walls: Sequence[Wall]
    rng: np.random.Generator
    pieces: list[Piece] = field(default_factory=list)
    taken: list[tuple[NDArray, NDArray, Piece | None]] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Add a piece that is already in the room's frame, such as a wall, without reserving space."""
        self.pieces.append(piece)

    def keep_free(self, low: Sequence[float], high: Sequence[float]) -> None:
        """Reserve a box of space, metres."""
        self.taken.append((np.asarray(low, float), np.asarray(high, float), None))

    def place(self, piece: Piece, room_from_object: NDArray, neighbour: Placed | None = None) -> Placed | None:
        """Place a piece, unless it would leave the room or touch a piece other than `neighbour`."""
        moved = piece.moved(room_from_object)
        low, high = (corner.astype(float) for corner in moved.mesh.bounds())
        limit = np.array([self.length, self.width, self.height])
        if (low[:2] < -0.01).any() or (high > limit + 0.01).any():
            return None
        for other_low, other_high, owner in self.taken:
            touches = (low < other_high - GAP).all() and (other_low + GAP < high).all()
            if touches and (neighbour is None or owner is not neighbour.piece):
                return None
        self.taken.append((low, high, piece))
        self.pieces.append(moved)
        return Placed(piece, room_from_object)

    def at_wall(
        self, piece: Piece, walls: Sequence[int] = (0, 1, 2, 3), at: float | None = None, gap: float = 0.02
    ) -> Placed | None:
        """Place a piece with its back to one of the walls, `at` metres along it or at a random position.

        Positions where the piece would cover a window or block a door are rejected.
        """
        low, high = piece.mesh.bounds()
        for _ in range(TRIES if at is None else 1):
            wall = self.walls[int(self.rng.choice(list(walls)))]
            room = 0.5 * wall.length - 0.5 * float(high[1] - low[1]) - 0.03
            if room < 0:
                continue
            y = float(self.rng.uniform(-room, room)) if at is None else at
            if self._blocks_opening(wall, y + float(low[1]), y + float(high[1]), float(low[2]), float(high[2])):
                continue
            placed = self.place(piece, wall.room_from_wall @ _shift(gap - float(low[0]), y, 0.0))
            if placed is not None:
                return placed
        return None

    def anywhere(self, piece: Piece, low: Sequence[float], high: Sequence[float], turned: bool) -> Placed | None:
        """Place a piece with its origin in a rectangle of the floor, at any angle or parallel to the walls."""
        for _ in range(TRIES):
            x, y = self.rng.uniform(low, high)
            yaw = float(self.rng.uniform(0, 2 * np.pi)) if turned else 0.5 * np.pi * int(self.rng.integers(4))
            placed = self.place(piece, transform_from(rotation_about_z(yaw), [x, y, 0.0]))
            if placed is not None:
                return placed
        return None

    def relative(self, piece: Piece, to: Placed, x: float, y: float, yaw: float, z: float = 0.0) -> Placed | None:
        """Place a piece at (x, y, z) and `yaw` in the object frame of another; the two may overlap."""
        step = transform_from(rotation_about_z(yaw), [x, y, z])
        return self.place(piece, to.room_from_object @ step, neighbour=to)

    def on(self, piece: Piece, to: Placed, yaw: float | None = None) -> Placed | None:
        """Place a small piece on a shelf of another where it fits, at `yaw` in its frame or at a random angle."""
        for _ in range(TRIES // 3 if to.piece.shelves else 0):
            turn = float(self.rng.uniform(0, 2 * np.pi)) if yaw is None else yaw
            shelf = to.piece.shelves[int(self.rng.integers(len(to.piece.shelves)))]
            low, high = piece.moved(transform_from(rotation_about_z(turn), np.zeros(3))).mesh.bounds()
            (x0, y0), (x1, y1) = low[:2].tolist(), high[:2].tolist()
            if shelf.x1 - shelf.x0 < x1 - x0 or shelf.y1 - shelf.y0 < y1 - y0:
                continue
            x = float(self.rng.uniform(shelf.x0 - x0, shelf.x1 - x1))
            y = float(self.rng.uniform(shelf.y0 - y0, shelf.y1 - y1))
            placed = self.relative(piece, to, x, y, turn, shelf.z)
            if placed is not None:
                return placed
        return None

    def _blocks_opening(self, wall: Wall, y0: float, y1: float, z0: float, z1: float) -> bool:
        return any(y0 < o.y1 + 0.05 and o.y0 - 0.05 < y1 and z0 < o.z1 and o.z0 < z1 for o in wall.openings)


def _shift(x: float, y: float, z: float) -> NDArray[np.float64]:
    return transform_from(np.eye(3), [x, y, z])
