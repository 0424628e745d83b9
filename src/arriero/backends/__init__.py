"""Dialects: an Attempt to an HttpCall, an HttpReply to an Outcome; they never send."""
