"""The rules of compiled code once more, in plain numpy and Python, short enough to read: what it is compared with."""
