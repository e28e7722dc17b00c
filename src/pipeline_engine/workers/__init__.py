"""Job names to domain functions, one thin file per system. No rules here."""
