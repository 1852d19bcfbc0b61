"""Machine code and its memory: LLVM IR goes in, addresses to call come out."""
