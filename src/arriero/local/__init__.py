"""The embedded local instance: a llama.cpp server in a child process, with a small model out of a wheel."""

from arriero.local.model import MODEL_NAME, install, model_path
from arriero.local.server import LocalServer

__all__ = ["MODEL_NAME", "LocalServer", "install", "model_path"]
