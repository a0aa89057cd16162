"""The interface for Python, whose names `bcnet` itself gives (docs/python.md).

Every function raises `bcnet.InputError` with one line about wrong input, and changes nothing that it is given.
"""
