"""Decides: no I/O, no clock, no thread; told what happened, asked what to do now."""
