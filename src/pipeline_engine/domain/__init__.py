"""What the engine does. Features do not import each other: they meet through events, lanes and repos."""
