"""Records in the forms of other tools."""
