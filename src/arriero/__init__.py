"""Batch LLM inference over a fleet of Ollama and OpenAI-compatible servers."""

__version__ = "0.1.0"

__all__ = ["__version__"]
