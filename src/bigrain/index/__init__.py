"""The structures that are searched, family by family: built, opened, merged."""
