"""Exports of records to the formats of other tools."""
