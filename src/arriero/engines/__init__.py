"""What carries attempts out over real sockets: on one event loop, or in a thread each."""
