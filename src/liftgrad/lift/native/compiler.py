"""Compiler: LLVM, from a kernel's IR to an object file, and from that to running code.

Importing this module loads LLVM's library.
"""

from dataclasses import replace
from functools import lru_cache

import llvmlite
from llvmlite import binding as llvm

from liftgrad.errors import LiftError
from liftgrad.lift.kernels.llvm.target import Target, describe

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def machine(target: Target) -> llvm.TargetMachine:
    """Return LLVM's description of the target."""
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2
    )


def version() -> str:
    """Return what the machine code depends on beside target and text."""
    return f"llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


@lru_cache
def host(vector_bits: int | None = None) -> Target:
    """Return this machine, its vectors narrowed to `vector_bits` (128, 256 or 512) if given."""
    features = dict(llvm.get_host_cpu_features())
    if vector_bits is not None and vector_bits < 512:
        features = {k: v and "avx512" not in k and k != "evex512" for k, v in features.items()}
    if vector_bits is not None and vector_bits < 256:
        wide = ("avx", "fma", "f16c", "vaes", "vpclmulqdq", "xop", "fma4")
        features = {k: v and not k.startswith(wide) for k, v in features.items()}
    target = describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)
    return replace(target, compiler=version())


def emit_object(text: str, target: Target) -> bytes:
    """Compile a module to an object file.

    Raises:
        LiftError: if LLVM does not take the text.

    """
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        # The text is ours but for the templates of operations.
        raise LiftError(
            f"LLVM does not take the instructions of an operation ({_complaint(error)}); correct "
            "its LLVM template, or compose the operation of others and leave the template out."
        ) from error
    module.triple = target.triple
    module.verify()
    host = machine(target)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # The kernels are vectors already.
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(host, options)
    manager = builder.getModulePassManager()
    manager.run(module, builder)
    return host.emit_object(module)  # type: ignore[no-any-return]


def _complaint(error: RuntimeError) -> str:
    """Return what LLVM says of a text, and the line of it that it shows."""
    what, *shown = str(error).rpartition(" error: ")[2].splitlines()
    return f"{what}: {shown[0].strip()}" if shown else what


class Loaded:
    """An object file that LLVM loaded."""

    def __init__(self, code: bytes, target: Target) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine(target))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return the address of a function."""
        return self._engine.get_function_address(name)  # type: ignore[no-any-return]
