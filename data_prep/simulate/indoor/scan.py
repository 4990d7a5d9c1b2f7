"""A hand-held RGB-D scan of a room: camera path, depth camera, fusion to a mesh, labels of its vertices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.indoor.light import RoomLight, Surface, develop, exposure_of
from data_prep.simulate.indoor.room import Room
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Mesh, join
from data_prep.simulate.raycast import Shell
from pc_ssl.extras import extra
from pc_ssl.geometry import invert

VOXEL = 0.025  # metres; gives ScanNet's spacing of vertices of about 2 cm
TRUNCATION = 0.07  # metres; truncation of the signed distance
FUSED_SIZE = (320, 240)  # pixels of the depth images that are fused
FUSED_FRAMES = 12  # of 30 per second, averaged into each fused image to reduce noise
FIELD_OF_VIEW = np.deg2rad(58.0)  # horizontal; ScanNet's sensor: 2 atan(320 / 577)
NEAREST, FARTHEST = 0.4, 5.0  # metres; range of the depth camera
LEAST_TRIANGLES = 200  # smaller connected components are removed, as in ScanNet's "clean" meshes
FARTHEST_LABEL = 0.05  # metres; vertices farther from every piece are not annotated
POSE_NOISE = 0.002  # metres; error of the tracked camera position
HALL = 0.4  # radiance behind a door that is ajar
MIRRORED = 0.85  # reflectivity of a mirror
METERED_POSES, METERED_SIZE = 8, (48, 36)  # number and size (pixels) of the images that set the exposure
INWARD = 0.6  # share of the path that looks from the edge of the room across it; the rest is a walk
CANDIDATES = 8  # candidate poses; the one that shows most is used
GLANCE_SIZE = (24, 18)  # size in pixels at which candidates are rendered
CLOSEST = 0.6  # metres; nearer surfaces do not count as shown
PLAIN = ("wall", "ceiling", "floor")  # categories that do not count as shown


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: [3, 3] intrinsic for `size` (width, height) pixels."""

    size: tuple[int, int]
    intrinsic: NDArray[np.float64]

    @classmethod
    def of_size(cls, size: tuple[int, int]) -> Camera:
        width, height = size
        focal = 0.5 * width / np.tan(0.5 * FIELD_OF_VIEW)
        return cls(size, np.array([[focal, 0, 0.5 * width - 0.5], [0, focal, 0.5 * height - 0.5], [0, 0, 1.0]]))

    def rays(self, room_from_camera: NDArray) -> NDArray[np.float32]:
        """[H * W, 6] origin and unit direction through the middle of each pixel, room frame."""
        width, height = self.size
        v, u = np.mgrid[:height, :width].reshape(2, -1)
        direction = np.stack([u, v, np.ones(len(u))], 1) @ np.linalg.inv(self.intrinsic).T @ room_from_camera[:3, :3].T
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return np.concatenate([np.broadcast_to(room_from_camera[:3, 3], direction.shape), direction], 1).astype(
            np.float32
        )


@dataclass(frozen=True)
class RgbdImage:
    """One image of the RGB-D camera.

    Args:
        color: [H, W, 3] uint8.
        depth: [H, W] uint16 millimetres along the optical axis, 0 where not measured.
        room_from_camera: [4, 4] float64, as tracked.
    """

    color: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    room_from_camera: NDArray[np.float64]


@dataclass(frozen=True)
class Scan:
    """A reconstructed mesh, room frame.

    Args:
        vertex: [V, 3] float32 metres.
        triangle: [T, 3] int32.
        color: [V, 3] uint8.
        piece: [V] int32 row of the room's pieces, -1 for vertices farther than FARTHEST_LABEL from all.
    """

    vertex: NDArray[np.float32]
    triangle: NDArray[np.int32]
    color: NDArray[np.uint8]
    piece: NDArray[np.int32]


class Studio:
    """A room prepared for rendering: its triangles, light and random generator.

    Args:
        room: the room.
        rng: draws the light and the noise.
    """

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        self.room, self.rng = room, rng
        self.mesh: Mesh = join([piece.mesh for piece in room.pieces])
        counts = [piece.mesh.num_triangles for piece in room.pieces]
        self.piece_of_triangle = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self.shell = Shell(self.mesh.vertex, self.mesh.triangle, np.arange(self.mesh.num_triangles, dtype=np.int32))
        is_mirror = np.array([piece.category == "mirror" for piece in room.pieces])[self.piece_of_triangle]
        self.is_mirror = is_mirror & (self.mesh.material == Material.GLASS)
        self.is_thing = np.array([piece.category not in PLAIN for piece in room.pieces])
        self.light = RoomLight.draw(room, rng)
        camera = Camera.of_size(METERED_SIZE)
        seen = [self._seen(*self._look_at(camera, pose), pose) for pose in self.path(METERED_POSES)]
        self.exposure = exposure_of(np.concatenate(seen))

    def path(self, count: int) -> list[NDArray[np.float64]]:
        """`count` camera poses [4, 4] room_from_camera, over free floor: first along the walls, looking across the
        room, then on a walk, looking around. Each is the best of `CANDIDATES` poses, as people aim at objects."""
        across = round(INWARD * count)
        turns = self.rng.uniform(0, 2 * np.pi) + np.linspace(0, 4 * np.pi, across, endpoint=False)
        seen = np.zeros(len(self.is_thing))
        poses = [self._best([self._across(yaw) for _ in range(CANDIDATES)], seen) for yaw in turns]
        return poses + [self._best(candidates, seen) for candidates in self._around(count - across)]

    def _best(self, candidates: Sequence[NDArray[np.float64]], seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """The pose that shows most pieces, weighted towards rarely seen ones; updates `seen` [pieces]."""
        camera = Camera.of_size(GLANCE_SIZE)
        shares = np.stack([self._shares(camera, pose) for pose in candidates])
        best = int((np.minimum(shares, 0.1) / np.sqrt(1 + seen)).sum(axis=1).argmax())  # a piece counts at most 0.1
        seen += shares[best] > 0.02
        return candidates[best]

    def _shares(self, camera: Camera, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """[pieces] share of the image that each piece covers; 0 for walls, floor, ceiling and surfaces too close."""
        _, depth, triangle, _ = self._look_at(camera, pose)
        shown = self.piece_of_triangle[triangle[(triangle >= 0) & (depth > CLOSEST)]]
        return np.bincount(shown, minlength=len(self.is_thing)) * self.is_thing / len(depth)

    def _across(self, yaw: float) -> NDArray[np.float64]:
        """A pose that looks towards yaw from the other side of the room."""
        length, width, height = self.room.size
        free, forward = self._free_floor(), np.array([np.cos(yaw), np.sin(yaw)])
        back = 0.5 * np.array([length, width]) * (1 - self.rng.uniform(0.4, 0.75) * forward)
        place = free[np.linalg.norm(free - back, axis=1).argmin()]
        position = np.array([*place, self.rng.uniform(1.3, min(1.8, height - 0.4))])
        pitch = np.deg2rad(self.rng.uniform(-35, -8))
        return _look(position, yaw + self.rng.normal(0, 0.2), pitch, self.rng.normal(0, np.deg2rad(2.0)))

    def _around(self, count: int) -> list[list[NDArray[np.float64]]]:
        """Candidates for each pose on a walk in the room: in all directions and down, and one from across the room,
        as the others may all look through an open door."""
        stops, free = self._stops(max(4, count // 12)), self._free_floor()
        poses = []
        for at in np.linspace(0, len(stops) - 1, count):
            low = min(int(at), len(stops) - 2)
            position = stops[low] + (at - low) * (stops[low + 1] - stops[low])
            position[:2] = free[np.linalg.norm(free - position[:2], axis=1).argmin()]  # not inside furniture
            turns = self.rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, CANDIDATES, endpoint=False)
            pitches, rolls = self.rng.uniform(-48, 4, CANDIDATES), self.rng.normal(0, 2, CANDIDATES)
            angles = zip(turns, np.deg2rad(pitches), np.deg2rad(rolls), strict=True)
            looks = [_look(position, yaw, pitch, roll) for yaw, pitch, roll in angles]
            poses.append([*looks, self._across(turns[0])])
        return poses

    def image(self, camera: Camera, room_from_camera: NDArray) -> RgbdImage:
        """Render colour and depth."""
        ray, depth, triangle, normal = self._look_at(camera, room_from_camera)
        color = develop(self._seen(ray, depth, triangle, normal, room_from_camera), self.exposure)
        color += self.rng.normal(0, 0.012, color.shape)
        width, height = camera.size
        return RgbdImage(
            (np.clip(color, 0, 1) * 255).astype(np.uint8).reshape(height, width, 3),
            self._measured(ray, depth, triangle, normal, camera.size),
            self._tracked(room_from_camera),
        )

    def depth(self, camera: Camera, room_from_camera: NDArray, frames: int = 1) -> NDArray[np.uint16]:
        """[H, W] millimetres, as `RgbdImage.depth`; the mean of several frames."""
        return self._measured(*self._look_at(camera, room_from_camera), camera.size, frames)

    def fuse(self, poses: Sequence[NDArray[np.float64]]) -> Scan:
        """Fuse the depth images of the poses into a mesh (truncated signed distances)."""
        with extra("simulate", "simulating a room"):
            import open3d as o3d

        camera = Camera.of_size(FUSED_SIZE)
        integration: Any = o3d.pipelines.integration
        volume = integration.ScalableTSDFVolume(VOXEL, TRUNCATION, integration.TSDFVolumeColorType.NoColor)
        lens = o3d.camera.PinholeCameraIntrinsic(*FUSED_SIZE, camera.intrinsic)
        blank = o3d.geometry.Image(np.zeros((*FUSED_SIZE[::-1], 3), np.uint8))
        for pose in poses:
            depth = o3d.geometry.Image(self.depth(camera, pose, FUSED_FRAMES))
            image = o3d.geometry.RGBDImage.create_from_color_and_depth(
                blank, depth, depth_scale=1000.0, depth_trunc=FARTHEST, convert_rgb_to_intensity=False
            )
            volume.integrate(image, lens, invert(self._tracked(pose)))
        return self._annotate(_cleaned(volume.extract_triangle_mesh()))

    def _look_at(self, camera: Camera, room_from_camera: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Rays [N, 6], exact depth along the optical axis [N] metres, triangle [N] (-1 none), normal [N, 3]."""
        ray = camera.rays(room_from_camera)
        hits = self.shell.cast(ray)
        return (
            ray,
            hits.distance * (ray[:, 3:] @ room_from_camera[:3, 2]).astype(np.float32),
            hits.triangle,
            hits.normal,
        )

    def _seen(
        self, ray: NDArray, depth: NDArray, triangle: NDArray, normal: NDArray, room_from_camera: NDArray
    ) -> NDArray[np.float32]:
        """[N, 3] radiance along each ray, including mirror reflections."""
        light = np.full((len(ray), 3), HALL, np.float32)
        hit = np.flatnonzero(triangle >= 0)
        reach = depth[hit] / (ray[hit, 3:] @ room_from_camera[:3, 2]).astype(np.float32)
        position = ray[hit, :3] + reach[:, None] * ray[hit, 3:]
        light[hit] = self.light.radiance(self._surface(position, normal[hit], triangle[hit]), self.shell, self.rng)
        glass = np.flatnonzero(self.is_mirror[triangle[hit]])
        if len(glass):
            towards, upright = ray[hit[glass], 3:], normal[hit[glass]]
            back = towards - 2 * np.einsum("ij,ij->i", towards, upright)[:, None] * upright
            start = position[glass] + 1e-3 * upright
            hits = self.shell.cast(np.concatenate([start, back], 1).astype(np.float32))
            lit = np.flatnonzero(hits.triangle >= 0)
            there = start[lit] + hits.distance[lit, None] * back[lit]
            surface = self._surface(there, hits.normal[lit], hits.triangle[lit])
            light[hit[glass[lit]]] = MIRRORED * self.light.radiance(surface, self.shell, self.rng)
        return light

    def _measured(
        self, ray: NDArray, depth: NDArray, triangle: NDArray, normal: NDArray, size: tuple[int, int], frames: int = 1
    ) -> NDArray[np.uint16]:
        """Depth with noise that grows with its square; missing on glass, mirrors, grazing surfaces and edges.

        Noise along the axis: 1.2 mm + 1.9 mm (z - 0.4 m)^2 (Nguyen et al. 2012, "Modeling Kinect sensor noise").
        """
        width, height = size
        valid = (triangle >= 0) & (depth > NEAREST) & (depth < FARTHEST)
        depth = np.where(valid, depth, 0)
        slant = -np.einsum("ij,ij->i", ray[:, 3:], normal)
        material = self.mesh.material[triangle]
        lost = np.where(material == Material.GLASS, 0.85, np.where(material == Material.METAL, 0.15, 0.01))
        lost = lost + np.clip((0.25 - slant) / 0.25, 0, 1)
        deviation = (0.0012 + 0.0019 * (depth - 0.4) ** 2) / np.sqrt(frames)
        noisy = depth + self.rng.normal(0, 1, len(depth)) * deviation
        valid &= self.rng.random(len(depth)) > lost
        image = np.where(valid, noisy, 0).reshape(height, width)
        jump = np.zeros((height, width), bool)
        for axis in (0, 1):
            step = np.abs(np.diff(depth.reshape(height, width), axis=axis)) > 0.15
            ahead = [slice(None), slice(None)]
            ahead[axis] = slice(1, None)
            jump[tuple(ahead)] |= step
        image[jump & (self.rng.random((height, width)) < 0.6)] = 0
        return np.rint(1000 * image).astype(np.uint16)

    def _surface(self, position: NDArray, normal: NDArray, triangle: NDArray) -> Surface:
        return Surface(
            position.astype(np.float32),
            normal.astype(np.float32),
            self.mesh.color[triangle],
            self.mesh.material[triangle],
        )

    def _tracked(self, room_from_camera: NDArray) -> NDArray[np.float64]:
        """The pose with a small position error, a function of the pose."""
        error = np.sin(997.0 * room_from_camera[:3, 3] + 613.0 * room_from_camera[:3, 2])
        tracked = room_from_camera.copy()
        tracked[:3, 3] += POSE_NOISE * error
        return tracked

    def _annotate(self, mesh: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]) -> Scan:
        """Colour and piece of each vertex, from the nearest point of the true surface."""
        with extra("simulate", "simulating a room"):
            import open3d as o3d

        vertex, triangle, normal = mesh
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(o3d.core.Tensor(self.mesh.vertex), o3d.core.Tensor(self.mesh.triangle.astype(np.uint32)))
        nearest = scene.compute_closest_points(o3d.core.Tensor(vertex), nthreads=1)
        source = nearest["primitive_ids"].numpy().astype(np.int64)
        position, true_normal = nearest["points"].numpy(), nearest["primitive_normals"].numpy()
        true_normal[np.einsum("ij,ij->i", true_normal, normal) < 0] *= -1
        light = self.light.radiance(self._surface(position, true_normal, source), self.shell, self.rng)
        color = develop(light, self.exposure)
        color += self.rng.normal(0, 0.015, color.shape)
        near = np.linalg.norm(position - vertex, axis=1) < FARTHEST_LABEL
        piece = np.where(near, self.piece_of_triangle[source], -1).astype(np.int32)
        return Scan(vertex, triangle, (np.clip(color, 0, 1) * 255).astype(np.uint8), piece)

    def _stops(self, count: int) -> NDArray[np.float64]:
        """[K, 3] camera positions: clear of tall pieces, spread over the floor, in walking order."""
        height, cell = self.room.size[2], self._free_floor()
        chosen = [int(self.rng.integers(len(cell)))]
        gap = np.full(len(cell), np.inf)
        for _ in range(min(count, len(cell)) - 1):  # farthest-point sampling
            gap = np.minimum(gap, np.linalg.norm(cell - cell[chosen[-1]], axis=1))
            chosen.append(int(gap.argmax()))
        order = _walk(cell[chosen])
        level = self.rng.uniform(1.3, min(1.75, height - 0.4), len(order))
        return (
            np.column_stack([order, level]) if len(order) > 1 else np.repeat(np.column_stack([order, level]), 2, axis=0)
        )

    def _free_floor(self) -> NDArray[np.float64]:
        """[K, 2] lattice positions without tall pieces; the centre of the room if there are none."""
        length, width, _ = self.room.size
        x, y = np.meshgrid(np.arange(0.3, length - 0.2, 0.15), np.arange(0.3, width - 0.2, 0.15), indexing="ij")
        cell = np.stack([x.ravel(), y.ravel()], 1)
        free = np.ones(len(cell), bool)
        for piece in self.room.pieces:
            low, high = piece.mesh.bounds()
            if high[2] > 1.1 and low[2] < 1.9 and piece.category not in PLAIN:
                free &= ~((cell > low[:2] - 0.25) & (cell < high[:2] + 0.25)).all(1)
        return cell[free] if free.any() else np.array([[0.5 * length, 0.5 * width]])


def _walk(stop: NDArray) -> NDArray:
    """The stops [K, 2] in an order in which each is followed by the nearest remaining one."""
    left, path = list(range(1, len(stop))), [0]
    while left:
        left.sort(key=lambda k: float(np.linalg.norm(stop[k] - stop[path[-1]])))
        path.append(left.pop(0))
    return stop[path]


def _look(position: NDArray, yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """room_from_camera [4, 4] (camera: x right, y down, z forward) of a camera that looks towards yaw and pitch."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([cos * right + sin * down, cos * down - sin * right, forward], 1)
    pose[:3, 3] = position
    return pose


def _cleaned(mesh: Any) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Vertices, triangles and normals without small components, in an order that depends only on the geometry."""
    cluster, size, _ = mesh.cluster_connected_triangles()
    mesh.remove_triangles_by_mask(np.asarray(size)[np.asarray(cluster)] < LEAST_TRIANGLES)
    mesh.remove_unreferenced_vertices()
    mesh.compute_vertex_normals()
    vertex, triangle = np.asarray(mesh.vertices).astype(np.float32), np.asarray(mesh.triangles)
    order = np.lexsort(vertex.T)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    triangle = rank[triangle]
    first = triangle.argmin(1)
    triangle = np.take_along_axis(triangle, (first[:, None] + np.arange(3)) % 3, 1)
    triangle = triangle[np.lexsort(triangle.T[::-1])]
    return (
        vertex[order],
        np.ascontiguousarray(triangle, np.int32),
        np.asarray(mesh.vertex_normals)[order].astype(np.float32),
    )
