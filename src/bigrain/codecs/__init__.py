"""How vectors become bytes: codes for memory, records for disk. One idea a file."""
