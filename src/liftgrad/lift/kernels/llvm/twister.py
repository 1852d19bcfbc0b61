"""Twister: the random numbers of Python's `random`, drawn by LLVM IR.

`random` is a Mersenne twister (Matsumoto and Nishimura, 1998): 624 words, replaced by 624 new ones
once all are read. Each word read is tempered; the 53 bits of random.random() come from two words.
Nothing here rounds, so eight numbers at a time are the same as one by one; float32 rounds them.

In memory, one word precedes the 624: the first of a pair whose second is among the new words. The
position of the next word follows them, and what a vector may read beyond the end.
"""

MEMORY = 1 + 624 + 15
"""The words of memory that it takes."""

_TWIST = """
; Make the words `first`, ..., `last` - 1 anew, each from itself, the next one and one `ahead`.
define private void @twist(ptr %state, i64 %first, i64 %last, i64 %ahead) {
entry:
  br label %head
head:
  %i = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %body, label %done
body:
  %p = getelementptr i32, ptr %state, i64 %i
  %q = getelementptr i32, ptr %p, i64 1
  %r = getelementptr i32, ptr %p, i64 %ahead
  %x = load <8 x i32>, ptr %p, align 4
  %y = load <8 x i32>, ptr %q, align 4
  %z = load <8 x i32>, ptr %r, align 4
  %upper = and <8 x i32> %x, splat (i32 u0x80000000)
  %lower = and <8 x i32> %y, splat (i32 u0x7FFFFFFF)
  %both = or <8 x i32> %upper, %lower
  %half = lshr <8 x i32> %both, splat (i32 1)
  %odd = trunc <8 x i32> %y to <8 x i1>
  %matrix = select <8 x i1> %odd, <8 x i32> splat (i32 u0x9908B0DF), <8 x i32> zeroinitializer
  %mixed = xor <8 x i32> %z, %half
  %new = xor <8 x i32> %mixed, %matrix
  ; The last vector leaves the words after `last` as they are.
  %left = sub i64 %last, %i
  %short = trunc i64 %left to i32
  %one = insertelement <8 x i32> poison, i32 %short, i64 0
  %lefts = shufflevector <8 x i32> %one, <8 x i32> poison, <8 x i32> zeroinitializer
  %inside = icmp slt <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>, %lefts
  %kept = select <8 x i1> %inside, <8 x i32> %new, <8 x i32> %x
  store <8 x i32> %kept, ptr %p, align 4
  %next = add i64 %i, 8
  br label %head
done:
  ret void
}
"""

_DRAW = """
; Draw numbers as random.random() does, for one row after another:
; target[places[column] + row] = number.
; Arguments: the twister's words, target, rows, columns, places.
define void @draw{bits}(ptr %args) {{
entry:
  %eight = alloca [8 x {type}], align 64
  %words = load ptr, ptr %args, align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %target = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %args, i64 2
  %rows = load i64, ptr %a2, align 8
  %a3 = getelementptr ptr, ptr %args, i64 3
  %columns = load i64, ptr %a3, align 8
  %a4 = getelementptr ptr, ptr %args, i64 4
  %places = load ptr, ptr %a4, align 8
  %count = mul i64 %rows, %columns
  %state = getelementptr i32, ptr %words, i64 1
  %end = getelementptr i32, ptr %state, i64 624
  %position32 = load i32, ptr %end, align 4
  %position = zext i32 %position32 to i64
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i, %twist ], [ %nexti, %turn ]
  %at = phi i64 [ %position, %entry ], [ %start, %twist ], [ %nextat, %turn ]
  %row = phi i64 [ 0, %entry ], [ %row, %twist ], [ %rowafter, %turn ]
  %column = phi i64 [ 0, %entry ], [ %column, %twist ], [ %columnafter, %turn ]
  %left = sub i64 %count, %i
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %some, label %done
some:
  %unread = sub i64 624, %at
  %pairs = lshr i64 %unread, 1
  %empty = icmp eq i64 %pairs, 0
  br i1 %empty, label %twist, label %body
twist:
  ; A word that is left over becomes the one before the new ones.
  %lastp = getelementptr i32, ptr %state, i64 623
  %over = load i32, ptr %lastp, align 4
  store i32 %over, ptr %words, align 4
  call void @twist(ptr %state, i64 0, i64 227, i64 397)
  ; The last word's next one is the first.
  %firstword = load i32, ptr %state, align 4
  store i32 %firstword, ptr %end, align 4
  call void @twist(ptr %state, i64 227, i64 624, i64 -227)
  %start = sub i64 0, %unread
  br label %head
body:
  %p = getelementptr i32, ptr %state, i64 %at
  %y0 = load <16 x i32>, ptr %p, align 4
  %s0 = lshr <16 x i32> %y0, splat (i32 11)
  %y1 = xor <16 x i32> %y0, %s0
  %s1 = shl <16 x i32> %y1, splat (i32 7)
  %m1 = and <16 x i32> %s1, splat (i32 u0x9D2C5680)
  %y2 = xor <16 x i32> %y1, %m1
  %s2 = shl <16 x i32> %y2, splat (i32 15)
  %m2 = and <16 x i32> %s2, splat (i32 u0xEFC60000)
  %y3 = xor <16 x i32> %y2, %m2
  %s3 = lshr <16 x i32> %y3, splat (i32 18)
  %y4 = xor <16 x i32> %y3, %s3
  %even = shufflevector <16 x i32> %y4, <16 x i32> poison,
    <8 x i32> <i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14>
  %odd = shufflevector <16 x i32> %y4, <16 x i32> poison,
    <8 x i32> <i32 1, i32 3, i32 5, i32 7, i32 9, i32 11, i32 13, i32 15>
  %high = lshr <8 x i32> %even, splat (i32 5)
  %low = lshr <8 x i32> %odd, splat (i32 6)
  %a = sitofp <8 x i32> %high to <8 x double>
  %b = sitofp <8 x i32> %low to <8 x double>
  ; a and b have 27 and 26 bits: number = (a * 2^26 + b) / 2^53, exactly.
  %scaled = fmul <8 x double> %a, splat (double 67108864.0)
  %sum = fadd <8 x double> %scaled, %b
  %number = fmul <8 x double> %sum, splat (double 0x3CA0000000000000)
  %converted = {convert} <8 x double> %number to <8 x {type}>
  store <8 x {type}> %converted, ptr %eight, align 64
  %few = icmp slt i64 %pairs, %left
  %most = select i1 %few, i64 %pairs, i64 %left
  %whole = icmp slt i64 %most, 8
  %drawn = select i1 %whole, i64 %most, i64 8
  %nexti = add i64 %i, %drawn
  %read = shl i64 %drawn, 1
  %nextat = add i64 %at, %read
  br label %spread
spread:
  %j = phi i64 [ 0, %body ], [ %nextj, %turn ]
  %r = phi i64 [ %row, %body ], [ %rowafter, %turn ]
  %c = phi i64 [ %column, %body ], [ %columnafter, %turn ]
  %np = getelementptr {type}, ptr %eight, i64 %j
  %x = load {type}, ptr %np, align {bytes}
  %pp = getelementptr i64, ptr %places, i64 %c
  %place = load i64, ptr %pp, align 8
  %to = add i64 %place, %r
  %tp = getelementptr {type}, ptr %target, i64 %to
  store {type} %x, ptr %tp, align {bytes}
  %nextj = add i64 %j, 1
  %nextc = add i64 %c, 1
  %within = icmp slt i64 %nextc, %columns
  br i1 %within, label %turn, label %nextrow
nextrow:
  %nextr = add i64 %r, 1
  br label %turn
turn:
  %rowafter = phi i64 [ %r, %spread ], [ %nextr, %nextrow ]
  %columnafter = phi i64 [ %nextc, %spread ], [ 0, %nextrow ]
  %another = icmp slt i64 %nextj, %drawn
  br i1 %another, label %spread, label %head
done:
  %stop = trunc i64 %at to i32
  store i32 %stop, ptr %end, align 4
  ret void
}}
"""

TWISTER = "".join(
    [
        _TWIST,
        _DRAW.format(bits=64, type="double", bytes=8, convert="bitcast"),
        _DRAW.format(bits=32, type="float", bytes=4, convert="fptrunc"),
    ]
)
