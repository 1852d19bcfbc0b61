"""Code for one loop nest: a nest goes in, a kernel's text comes out, in LLVM IR or in C.

The emitter and what it uses decide how the nest runs; `llvm` and `c` write what they decide.
"""
