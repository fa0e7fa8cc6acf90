"""Versions: of the compiler, and of the ABI that generated modules import."""

VERSION = "0.1.0"
ABI = 1
