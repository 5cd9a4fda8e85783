"""A pack's ONNX files as torch networks: the ArcFace embedder and the SCRFD detector."""

import torch

from curate.errors import ModelError
from curate.faces.detectors.scrfd import Scrfd, ScrfdSettings
from curate.faces.embedder import Embedder
from curate.faces.onnx.graph import OnnxGraph
from curate.faces.packs.insightface import locate, pack_of
from curate.faces.weights import file_sha256


def load_arcface(name: str, device: str | torch.device = "cpu") -> Embedder:
    """The pack's ArcFace network on `device`: crops at arcface-112, 512 dimensions, no flip, as insightface uses it.

    Raises ModelError where the pack is missing or incomplete, or its file is not an embedder.
    """
    weights = pack_of(name).embedder
    _, file = locate(name)
    network = _SingleOutput(OnnxGraph(file))
    with torch.inference_mode():
        shape = network(torch.zeros(1, 3, *(weights.size or (112, 112)))).shape
    if len(shape) != 2:
        raise ModelError(f"{file}: output of shape {tuple(shape)} for one crop, expected a vector; not an embedder")
    # Both networks were trained in float16, so it is accurate enough for their convolutions.
    return Embedder(network, weights, file_sha256(file), dim=shape[1], half=torch.float16).to(device)


def load_scrfd(name: str, device: str | torch.device = "cpu", max_faces: int = 4) -> Scrfd:
    """The pack's SCRFD detector on `device`, with insightface's sizes and thresholds."""
    return Scrfd(locate(name)[0], device, ScrfdSettings(max_faces))


class _SingleOutput(torch.nn.Module):
    """A graph with one output, as a function of one tensor."""

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__()
        if len(graph.output_names) != 1:
            raise ModelError(f"{graph.path}: {len(graph.output_names)} outputs, expected the one of an embedder")
        self.graph = graph

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (vectors,) = self.graph(x)
        return torch.as_tensor(vectors)
