"""Tests of the room `expressions`: every rule of the language and of durations as a row of a table."""
