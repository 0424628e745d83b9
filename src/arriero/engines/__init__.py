"""Carry attempts out over real sockets, or hand them to whoever does."""
