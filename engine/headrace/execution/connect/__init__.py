"""Functions of SDKs whose workers connect to us: they keep a WebSocket, and take calls through it.

In:    calls of functions (`execution.sdk.seams.AppCall`), frames of workers, the time.
Out:   answers of workers; apps to be registered; frames for workers.
Rules: what a message, a lease or a worker means is decided by pure state that is told the time (`session`, `leases`,
       `workers`); only `gateway` awaits. Nothing here is durable: a call that nobody answers is made again by the run's
       partition. Source of the protocol: the SDK protocol page, section 8.
"""
