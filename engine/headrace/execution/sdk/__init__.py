"""Run functions of SDKs: apps that are called, step by step, and answer with what they did or want.

In:    what `execution/` takes from machines: runs to start, results of steps whose commit is honoured.
Out:   the same commands that code in this process gives: reports of steps and of function bodies, wishes to wait.
Rules: all that counts is in the partition's state; a run that is taken up anew begins with one call that lets the app
       say again what it wants. Source: the SDK protocol page, sections 3 and 4.
"""
