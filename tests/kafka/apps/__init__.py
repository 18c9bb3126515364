"""Apps that node processes of the tests run; what they do they witness on disk."""
