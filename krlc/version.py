"""Versions: of the compiler, and of the ABI that generated modules import."""

VERSION = "0.2.0"
ABI = 1
