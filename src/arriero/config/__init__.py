"""TOML, environment and flags to checked Settings, with the origin of each value."""
