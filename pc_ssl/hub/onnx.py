"""ONNX files of the dense parts of a LiDAR backbone, and its sparse part with folded batch norms.

    OUT/neck.onnx           bev [B, C, H, W] -> map, of SECOND and PointPillars; any B; H, W divide by the strides
    OUT/pillars.onnx        decorated [V, P, D] -> pillar [V, C], of PointPillars with `max_points` = P
    OUT/sparse.safetensors  of SECOND and SparseUNet: convolutions [out, z, y, x, in] with biases, norms folded in
    OUT/onnx.json           what each file takes and gives, and what was not exported

Voxelisation, scattering of pillars and sparse convolutions have shapes that depend on the data, and ONNX has no
operator for them. NVIDIA's sparse convolution library (Lidar_AI_Solution, libraries/3DSparseConvolution) takes kernels
[out, k, k, k, in] with the norms folded in, as sparse.safetensors has them; its own tools write the graph. Each ONNX
file is compared with torch by onnxruntime before it is kept.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pc_ssl.engine.weights import write_tensors
from pc_ssl.errors import UserError
from pc_ssl.extras import extra
from pc_ssl.files import write_bytes, write_json
from pc_ssl.models.lidar import SECOND, PointPillars
from pc_ssl.models.sparse import DownBlock, HeightBlock, ResidualBlock, SubmanifoldBlock, UpBlock

TOLERANCE = 1e-5  # of the largest output, or of 1
OPSET = 17
NOT_EXPORTED = {
    "SECOND": "voxelisation and the sparse stages: see sparse.safetensors; their output, slices along z folded into "
    "channels as slice * channels + channel, is the neck's input",
    "SparseUNet": "the whole network is sparse: see sparse.safetensors",
    "PointPillars": "decoration of points and scattering of pillars into the map: index operations of the caller",
}


class PillarLayers(nn.Module):
    """The layers of points and the maximum over each pillar, on pillars padded to P points.

    Args:
        pillars: the network, with `max_points` = P.
    """

    def __init__(self, pillars: PointPillars) -> None:
        super().__init__()
        self.first_layers, self.linear, self.norm = pillars.first_layers, pillars.linear, pillars.norm

    def forward(self, decorated: Tensor) -> Tensor:
        """[V, P, D] decorated points, zeros where a pillar has fewer than P -> [V, C]."""
        count = decorated.shape[1]
        for layer in self.first_layers:
            feature = layer(decorated.flatten(0, 1)).unflatten(0, (-1, count))
            largest = feature.amax(dim=1, keepdim=True).expand(-1, count, -1)
            decorated = torch.cat([feature, largest], dim=2)
        rows = self.norm(self.linear(decorated.flatten(0, 1))).relu()
        return rows.unflatten(0, (-1, count)).amax(dim=1)


@dataclass(frozen=True)
class OnnxPart:
    """One graph.

    Args:
        name: of the file.
        module: in eval mode.
        example: input.
        free: axes of the input of any size, by name.
        input, output: names.
    """

    name: str
    module: nn.Module
    example: Tensor
    free: dict[int, str]
    input: str
    output: str


def dense_parts(network: nn.Module) -> list[OnnxPart]:
    """The parts of a network that ONNX can hold."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    if isinstance(network, SECOND | PointPillars):
        stride = 2 ** len(network.neck.down)
        example = torch.randn(1, network.encoded_channels, 2 * stride, 3 * stride, generator=generator)
        parts.append(OnnxPart("neck", network.neck, example, {0: "frames", 2: "rows", 3: "columns"}, "bev", "map"))
    if isinstance(network, PointPillars) and network.max_points is not None:
        width = 3 + network.point_features + (6 if network.height_offset else 5)
        example = torch.randn(7, network.max_points, width, generator=generator)
        parts.append(OnnxPart("pillars", PillarLayers(network), example, {0: "pillars"}, "decorated", "pillar"))
    return parts


def export_onnx(network: nn.Module, out: Path, metadata: dict[str, str]) -> list[str]:
    """Write the files that the module names; each graph is checked first.

    Args:
        network: SECOND, PointPillars or SparseUNet; is set to eval mode, on the CPU.
        out: folder to write.
        metadata: of the weights, kept in sparse.safetensors.

    Returns:
        one line for each file: its name and the largest difference from torch.

    Raises:
        UserError: onnx or onnxruntime is not installed, an output differs from torch's, or a file cannot be written.
    """
    network.eval()
    kind, lines, described, graphs = type(network).__name__, [], {}, {}
    for part in dense_parts(network):
        graphs[part.name] = graph_of(part)
        found, scale = difference_of(part, graphs[part.name])
        if found > TOLERANCE * scale:
            raise UserError(f"{part.name}.onnx: differs by {found:.2g} from torch at values up to {scale:.3g}")
        lines.append(f"{part.name}.onnx: largest difference from torch {found:.1g} at values up to {scale:.3g}")
        shape = [part.free.get(axis, size) for axis, size in enumerate(part.example.shape)]
        described[f"{part.name}.onnx"] = {"input": {part.input: shape}, "output": part.output}
    for name, content in graphs.items():
        write_bytes(out / f"{name}.onnx", content)
    if not isinstance(network, PointPillars):
        write_tensors(out / "sparse.safetensors", folded(network), {**metadata, "layout": "[out, z, y, x, in]"})
        lines.append("sparse.safetensors: sparse convolutions with folded norms")
    elif network.max_points is None:
        lines.append("pillars.onnx: not written, because max_points is None: pillars of any number of points")
    write_json(out / "onnx.json", {"network": kind, "files": described, "not exported": NOT_EXPORTED[kind]})
    lines.append(f"not exported: {NOT_EXPORTED[kind]}")
    return lines


def graph_of(part: OnnxPart) -> bytes:
    """The ONNX file of a part.

    Raises:
        UserError: onnx is not installed.
    """
    with extra("onnx", "--to onnx"):
        import onnx  # noqa: F401  (torch's exporter imports it late and reports its absence otherwise)
    buffer: Any = io.BytesIO()  # the exporter's annotation names paths alone
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            part.module.eval(), (part.example,), buffer, dynamo=False, opset_version=OPSET,
            input_names=[part.input], output_names=[part.output],
            dynamic_axes={part.input: part.free, part.output: part.free},
        )  # fmt: skip
    return buffer.getvalue()


def difference_of(part: OnnxPart, graph: bytes) -> tuple[float, float]:
    """Largest difference between onnxruntime and torch on an input of other sizes, and the scale to judge it by.

    Raises:
        UserError: onnxruntime is not installed.
    """
    with extra("onnx", "--to onnx"):
        import onnxruntime
    session: Any = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    example = part.example
    for axis in part.free:  # twice the size along every free axis
        example = torch.cat([example, example.flip(1)], dim=axis)
    with torch.inference_mode():
        expected = part.module(example)
    found = torch.from_numpy(session.run(None, {part.input: example.numpy()})[0])
    return float((found - expected).abs().max()), max(1.0, float(expected.abs().max()))


def folded(network: nn.Module) -> dict[str, Tensor]:
    """The sparse convolutions of a network with their batch norms folded in: `NAME.weight` and `NAME.bias`.

    In eval mode norm(conv(x, w)) = conv(x, w') + b' with w' = w * gamma / sqrt(var + eps) for each output channel and
    b' = beta - mean * gamma / sqrt(var + eps).
    """
    found: dict[str, Tensor] = {}

    def fold(name: str, weight: Tensor, norm: Any) -> None:
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        shape = (-1, *[1] * (weight.ndim - 1))
        found[f"{name}.weight"] = (weight * factor.reshape(shape)).detach()
        found[f"{name}.bias"] = (norm.bias - norm.running_mean * factor).detach()

    for name, module in network.named_modules():
        if isinstance(module, SubmanifoldBlock | DownBlock | HeightBlock | UpBlock):
            fold(name, module.convolution.weight, module.norm)
        elif isinstance(module, ResidualBlock):
            fold(f"{name}.second", module.second.weight, module.norm)
            if isinstance(module.shortcut, nn.Sequential):
                linear: Any = module.shortcut[0].weight
                fold(f"{name}.shortcut", linear.reshape(len(linear), 1, 1, 1, -1), module.shortcut[1])
    return found
