"""Exported weights, opened to run: an ONNX graph on the CPU, and the tokenizer beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.errors import ModelUnavailable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["open_graph", "open_tokenizer", "use_threads"]

_CPUINFO = Path("/proc/cpuinfo")
_threads = 2


def use_threads(count: int) -> None:
    """Let each run of a graph that is opened from now on in this process use ``count`` threads; 2 unless told otherwise."""
    global _threads
    _threads = count


def open_graph(path: Path, threads: int | None = None) -> InferenceSession:
    """A session of the graph in ``path``; ModelUnavailable when it is missing or damaged."""
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Spinning workers would burn the second core between two steps.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Signed weights are the quicker ones with VNNI; without it they saturate, so they become unsigned when loaded.
    options.add_session_config_entry("session.x64quantprecision", "0" if _has_vnni() else "1")
    if not path.exists():
        raise ModelUnavailable(f"no weights at {path}; reinstall sqlgen")
    failures: Sequence[type[Exception]] = _runtime_errors(onnxruntime)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except tuple(failures) as error:
        raise ModelUnavailable(f"{path} is damaged or cannot be loaded here; reinstall sqlgen") from error


def open_tokenizer(path: Path) -> Any:
    """The tokenizer in ``path``, neither cutting nor padding; ModelUnavailable when it is missing or damaged."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelUnavailable(f"no tokenizer at {path}; reinstall sqlgen") from error
    except Exception as error:  # the tokenizers package raises no narrower type
        raise ModelUnavailable(f"{path} is damaged; reinstall sqlgen") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def _has_vnni() -> bool:
    """Whether this processor is known to add up products of 8-bit numbers without saturation."""
    try:
        return not {"avx512_vnni", "avx_vnni"}.isdisjoint(_CPUINFO.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError):
        return False


def _runtime() -> Any:
    """onnxruntime, kept from reporting its use: its official builds do so unless told otherwise.

    The variable has to stand before the library initialises; the call covers a process that had
    imported it earlier.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _runtime_errors(onnxruntime: Any) -> Sequence[type[Exception]]:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument,
            state.NoSuchFile, state.RuntimeException, state.NotImplemented, MemoryError)  # fmt: skip
