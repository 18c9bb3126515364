"""The rules of the house, as tests: who may import whom, what stays pure, sizes, names, licences, words.

In: the repository's own files, parsed and never imported where parsing will do. Out: one message for each
violation, saying where it is and what to do. Rules: every checker is itself tested on planted sources that
must fail; an exception is listed with its reason, and one that is no longer needed fails.
"""
