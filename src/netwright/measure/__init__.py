"""Numbers for hardware owned: speed, memory, energy, quality, each with its interval."""
