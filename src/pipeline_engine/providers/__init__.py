"""What the engine speaks to besides its own servers: one file each, small typed interfaces, errors of our own tree."""
