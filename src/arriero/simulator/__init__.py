"""The fourth engine: virtual time, a model of servers, and worlds from a seed."""
