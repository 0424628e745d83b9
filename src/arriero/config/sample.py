"""Sample: the commented ``arriero.toml`` that ``config init`` writes."""

from __future__ import annotations

SAMPLE = """\
# Settings of arriero for the batches started in this folder.
# A flag is stronger than an environment variable (ARRIERO_MODEL, ARRIERO_CONCURRENCY, ...), that is stronger than
# this file, and this file is stronger than ~/.config/arriero/config.toml. `arriero config show` says what came from
# where. Remove a leading # to use a line.

[defaults]                          # flags of `arriero run`, by name
# model = "mistral:7b"
# concurrency = "auto"              # 30: exactly; "3x": instances x 3; "auto": learned; "auto:30": learned, 30 at most
# system = "Answer in one sentence."    # "@system.txt" reads a file
# prompt = "Sentiment of: {text}"   # {field} of a jsonl row
# retries = 4                       # attempts after the first
# timeout = "auto"                  # "2m": fixed; "30+1/100c": 30 s and 1 s more for each 100 characters
# max_errors = "5%"                 # or a number of requests
# max_wait = "1h"                   # how long to wait when no instance is usable
# on_bad_line = "stop"              # or "fail": a bad line becomes a failed result
# [defaults.options]                # by their Ollama names
# temperature = 0
# num_ctx = 8192
# num_predict = 512

# Without an instance here, OLLAMA_HOST is used, else http://127.0.0.1:11434.
# [[instance]]
# name = "gpu-{01..12}"             # a range makes twelve
# url = "http://10.0.0.{11..22}:11434"
# [[instance]]                      # the same name again overrides
# name = "gpu-07"
# limit = 4                         # or "2-8-64": never below 2, learning starts at 8, never above 64
# [[instance]]
# name = "gateway"
# url = "http://10.0.0.5:8000"
# kind = "gateway"                  # it hides several servers
# endpoint = "/api/generate"        # the only path it serves
# [[instance]]
# name = "vllm"
# url = "https://vllm.example.org/v1"
# backend = "openai"
# api_key_env = "VLLM_API_KEY"      # the variable that holds the key, never the key itself
# ca_file = "corporate.pem"
"""
"""Without its comment signs it is a valid file; a test holds that."""
