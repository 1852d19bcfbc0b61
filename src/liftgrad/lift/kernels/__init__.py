"""Code for one loop nest: a nest goes in, LLVM IR comes out."""
