"""Sine and cosine on vectors, of angles of any size."""

from liftgrad.lift.kernels.llvm.coefficients import (
    COS,
    DOUBLE,
    HALF_PI,
    HALF_PI_PARTS,
    HALF_PI_REST,
    LARGE_ANGLE,
    SIN,
    TWO_OVER_PI,
)
from liftgrad.lift.kernels.llvm.instructions import (
    Body,
    Vector,
    fast_two_sum,
    multiply_add,
    polynomial,
    two_product,
    two_sum,
    where,
)


def sine(x: Vector, quarter: int) -> Vector:
    """Return sin(x + quarter pi/2), from polynomials on |r| <= pi/4 (order of fdlibm's k_sin.c)."""
    if x.element == "float":
        return sine(x.cast("fpext", "double"), quarter).cast("fptrunc", "float")
    r, low, quadrant = _reduced_angle(x)
    if quarter:
        quadrant = quadrant + quarter
    square = r * r
    cube = square * r
    rest = polynomial(square, SIN[1:])
    odd = r - ((square * (low * 0.5 - cube * rest) - low) - cube * SIN[0])
    half = square * 0.5
    one = 1.0 - half
    rest = square * square * polynomial(square, COS) - r * low
    even = one + (((1.0 - one) - half) + rest)
    magnitude = where((quadrant & 1).equals(0), odd, even)
    return (magnitude.bits() ^ (quadrant << 62 & DOUBLE.bits(-0.0))).number()


def _reduced_angle(x: Vector) -> tuple[Vector, ...]:
    """Return r, low and an integer n, where x = n pi/2 + r + low and |r| <= pi/4."""
    body, width = x.body, x.body.width
    shifted = multiply_add(x, 1.0 / HALF_PI[0], DOUBLE.rounder)
    n = shifted - DOUBLE.rounder
    first, second, third = HALF_PI_PARTS
    r, error = two_sum(x - n * first, n * -second)
    r, low = two_sum(r, n * -third)
    near = (r, (error + low) - n * HALF_PI_REST, shifted.bits())
    # Large angles are rare: if there are any, all pass through memory, where a loop corrects them.
    large = abs(x) > LARGE_ANGLE
    if width > 1:
        some = f"call i1 @llvm.vector.reduce.or.v{width}i1({large.type} {large.name})"
        large = body.vector("i1", some)
    slots = body.vector("ptr", f"alloca [{4 * width} x double], align 8").name
    body.lines += [f"  br i1 {large.name}, label %large, label %reduced", "large:"]
    offsets = (f"getelementptr double, ptr {slots}, i64 {width * i}" for i in range(4))
    places = [body.vector("ptr", offset).name for offset in offsets]
    for value, place in zip((x, *near), places, strict=True):
        body.lines.append(f"  store {value.type} {value.name}, ptr {place}, align 8")
    body.lines.append(f"  call void @lg.large_angles(ptr {slots}, i64 {width}) cold")
    far = [
        body.vector(value.element, f"load {value.type}, ptr {place}, align 8")
        for value, place in zip(near, places[1:], strict=True)
    ]
    body.lines += ["  br label %reduced", "reduced:"]
    return tuple(
        body.vector(a.element, f"phi {a.type} [ {a.name}, %entry ], [ {b.name}, %large ]")
        for a, b in zip(near, far, strict=True)
    )


def large_angles(*, fma: bool) -> str:
    """Return the text of a function that reduces the large ones of `width` angles (Payne & Hanek).

    An angle is an integer times 2ᵉ. Bits of 2/pi that contribute whole turns are skipped; the next
    192 are multiplied with the integer, and the first two bits of the product are the quadrant.
    """
    body = Body(1, fma=fma)
    x = Vector(body, "%x", "double")
    bits = abs(x).bits()
    integer = bits & (2**52 - 1) | 2**52
    integer = where(x < 0.0, 0 - integer, integer)
    skipped = 1090 + DOUBLE.bias + 52 - (bits >> 52)
    place = body.vector("ptr", f"getelementptr i8, ptr @lg.two_over_pi, i64 {(skipped >> 3).name}")
    window = body.vector("i256", f"load i256, ptr {place.name}, align 1")
    window = window.apply("lshr", (skipped & 7).cast("zext", "i256")).cast("trunc", "i192")
    product = integer.cast("sext", "i192") * window
    quadrant = (product + 2**189 >> 190).cast("trunc", "i64")
    # The fraction, from -½ to ½, as the sum of three exact numbers; then times pi/2.
    turn = product << 2
    chunks = [turn.apply("ashr", 144).cast("trunc", "i64")]
    chunks += [(turn >> shift).cast("trunc", "i64") & (2**48 - 1) for shift in (96, 48)]
    first, second, third = (
        chunk.cast("sitofp", "double") * 2.0 ** (-48 * i) for i, chunk in enumerate(chunks, 1)
    )
    high, low = fast_two_sum(first, second)
    high, low = fast_two_sum(high, low + third)
    r, error = two_product(high, HALF_PI[0])
    low = error + multiply_add(high, HALF_PI[1], low * HALF_PI[0])
    r = r + (x - x)
    lines = "\n".join(body.lines)
    return f"""\
@lg.two_over_pi = private unnamed_addr constant i1408 {TWO_OVER_PI}, align 16

define internal void @lg.large_angles(ptr %slots, i64 %width) noinline cold nounwind {{
entry:
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %next, %end ]
  %slot = getelementptr double, ptr %slots, i64 %i
  %x = load double, ptr %slot, align 8
  %size = call double @llvm.fabs.f64(double %x)
  %large = fcmp ogt double %size, {LARGE_ANGLE}
  br i1 %large, label %reduce, label %end
reduce:
{lines}
  %slot1 = getelementptr double, ptr %slot, i64 %width
  %slot2 = getelementptr double, ptr %slot1, i64 %width
  %slot3 = getelementptr double, ptr %slot2, i64 %width
  store double {r.name}, ptr %slot1, align 8
  store double {low.name}, ptr %slot2, align 8
  store i64 {quadrant.name}, ptr %slot3, align 8
  br label %end
end:
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %width
  br i1 %done, label %return, label %lane
return:
  ret void
}}
"""
