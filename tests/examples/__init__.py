"""The examples as strangers meet them: complete, without mistakes, and each of them runs by one command."""
