"""What follows from events, one file per consumer. Doing it twice changes nothing."""
