"""What the engine tells the world: CRM events and socket events."""
