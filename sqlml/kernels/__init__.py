"""Numbers: numpy in, numpy out. No SQL, no database, no names of options."""
