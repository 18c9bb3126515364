"""The front doors: how events come in other than through Kafka itself.

In:    HTTP requests of strangers.
Out:   records on the events topic, each checked, with its internal id in a header and placed by its key; an answer
       only once they are on Kafka.
Rules: nothing is buffered beyond its limit; keys are compared in constant time; what cannot be taken is answered with
       the reason, and with the ids of what was taken before it.
"""
