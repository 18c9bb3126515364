"""The protocol of the SDKs on the wire: an app that answers as a test tells it to, against a real server."""
