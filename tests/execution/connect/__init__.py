"""Workers that connect to us. Tests are named after the sections of the SDK protocol page whose rows they check."""
