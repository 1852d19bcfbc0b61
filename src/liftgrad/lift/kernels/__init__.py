"""Code for nests: a nest, or a loop of nests over time, becomes a kernel's text in LLVM IR or in C.

The emitter decides how a nest runs, and `time_loops` what a loop over time keeps in registers;
`llvm` and `c` write what they decide.
"""
