"""The unmodified SDKs of Inngest against a real server: each app is a process of its own, as its users run it."""
