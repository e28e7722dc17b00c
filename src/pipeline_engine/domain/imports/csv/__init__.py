"""A CSV file as bytes: its dialect, header, records and chunks, and the rows they hold. Pure: no I/O, no `App`."""
