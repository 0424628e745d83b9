"""What carries attempts out over real sockets: the asyncio engine and its HTTP."""
