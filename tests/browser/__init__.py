"""Tests of the pages in a real Chromium, spoken to through its DevTools protocol."""
