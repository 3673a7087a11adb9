"""What runs the network: torch, OpenVINO or ONNX Runtime, and which of them is quickest here.

Each takes (ids, mask) int64 (B, L) and gives the network's outputs as float32. Names:

    torch            float32
    openvino         float32
    openvino-bf16    bfloat16, where the processor computes with it
    onnx             ONNX Runtime, float32
    onnx-int8        ONNX Runtime, weights and activations int8 (dynamic): quick, not faithful
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.needs import needed, there
from bigrain.encoders.transformer.network import quiet
from bigrain.errors import ConfigError

__all__ = ["FAITHFUL", "RUNTIMES", "Floats", "Ids", "Run", "candidates", "make_runtime", "quickest"]

Ids: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Ids, Ids], list[Floats]]
RUNTIMES = ("torch", "openvino", "openvino-bf16", "onnx", "onnx-int8")
FAITHFUL = 0.999  # least cosine with float32 of every token
OPSET = 18


def make_runtime(name: str, network: Any, threads: int | None) -> Run:
    """`MissingExtraError` where its library is not installed."""
    if name == "torch":
        return _torch(network, threads)
    with quiet(needed("transformers", "")):
        if name.startswith("openvino"):
            return _openvino(network, threads, bf16=name.endswith("bf16"))
        return _onnx(network, threads, int8=name.endswith("int8"))


def candidates() -> list[str]:
    """Those worth measuring that are installed; torch, the reference, is the first."""
    found = ["torch"]
    if there("openvino"):
        found.append("openvino-bf16" if has_bf16() else "openvino")
    elif there("onnxruntime") and there("onnx"):
        found.append("onnx")
    return found


def has_bf16() -> bool:
    """Whether OpenVINO computes with bfloat16 on this processor."""
    core = needed("openvino", "").Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def quickest(
    network: Any, batches: Sequence[tuple[Ids, Ids]], threads: int | None
) -> tuple[str, Run, dict[str, tuple[float, float]]]:
    """(name, runtime, {name: (seconds, least cosine with torch)}) by running these batches."""
    found: dict[str, tuple[float, float]] = {}
    best: tuple[str, Run] | None = None
    expected: list[list[Floats]] = []
    for name in candidates():
        try:
            run = make_runtime(name, network, threads)
            run(*batches[0])
            outputs, seconds = [], 0.0
            for batch in batches:
                taken = []
                for _ in range(2):  # the better one: others use the machine too
                    began = time.perf_counter()
                    output = run(*batch)
                    taken.append(time.perf_counter() - began)
                outputs.append(output)
                seconds += min(taken)
        except Exception as error:  # a model that a runtime cannot take is run by another
            if name == "torch":
                raise
            warnings.warn(f"{name} cannot run this model: {error}", stacklevel=2)
            continue
        expected = expected or outputs
        cosine = min(
            _least_cosine(mine[0], other[0], mask)
            for mine, other, (_, mask) in zip(outputs, expected, batches, strict=True)
        )
        found[name] = (seconds, cosine)
        if best is None or (cosine >= FAITHFUL and seconds < found[best[0]][0]):
            best = name, run
    assert best is not None
    return *best, found


def _least_cosine(a: Floats, b: Floats, mask: Ids) -> float:
    a, b = a[mask > 0].astype(np.float64), b[mask > 0].astype(np.float64)
    norms = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return float(((a * b).sum(1) / np.maximum(norms, 1e-30)).min())


def _torch(network: Any, threads: int | None) -> Run:
    torch = needed("torch", "")
    if threads is not None:
        torch.set_num_threads(threads)

    def run(ids: Ids, mask: Ids) -> list[Floats]:
        with torch.inference_mode():
            found = network(torch.from_numpy(ids), torch.from_numpy(mask))
        return [np.asarray(one.float().numpy(), np.float32) for one in found]

    return run


def _example(torch: Any) -> tuple[Any, Any]:
    return torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64)


def _openvino(network: Any, threads: int | None, *, bf16: bool) -> Run:
    openvino, torch = needed("openvino", ""), needed("torch", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about branches on shapes
        graph = openvino.convert_model(network, example_input=_example(torch))
    compiled = openvino.Core().compile_model(
        graph, "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        },
    )  # fmt: skip
    requests, lock = threading.local(), threading.Lock()

    def run(ids: Ids, mask: Ids) -> list[Floats]:
        if not hasattr(requests, "own"):
            with lock:
                requests.own = compiled.create_infer_request()
        found = requests.own.infer([ids, mask])
        return [np.array(found[output], np.float32) for output in compiled.outputs]

    return run


def _onnx(network: Any, threads: int | None, *, int8: bool) -> Run:
    onnxruntime, torch = needed("onnxruntime", ""), needed("torch", "")
    needed("onnx", "")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="bigrain-onnx-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        size = torch.export.Dim("batch"), torch.export.Dim("tokens")
        shapes = {"input_ids": {0: size[0], 1: size[1]}, "attention_mask": {0: size[0], 1: size[1]}}
        torch.onnx.export(
            network, _example(torch), str(file), input_names=list(shapes), dynamic_shapes=shapes,
            opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            small = Path(folder) / "int8.onnx"
            quantize_dynamic(str(file), str(small), weight_type=QuantType.QInt8)
            file = small
        session = onnxruntime.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def run(ids: Ids, mask: Ids) -> list[Floats]:
        found = session.run(None, {"input_ids": ids, "attention_mask": mask})
        return [np.asarray(one, np.float32) for one in found]

    return run


def check_name(name: object) -> str:
    """A runtime's name or 'auto'."""
    if name != "auto" and name not in RUNTIMES:
        raise ConfigError(f"runtime={name!r} is not 'auto' or one of {', '.join(RUNTIMES)}")
    if name == "openvino-bf16" and not has_bf16():
        raise ConfigError("runtime='openvino-bf16': this processor does not compute with bfloat16")
    return str(name)
