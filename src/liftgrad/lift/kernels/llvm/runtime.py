"""The runtime: LLVM IR of what runs kernels one after another, feeds them and adds up results."""

from liftgrad.lift.kernels.llvm.twister import TWISTER

_DRIVER = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

; Run a plan: pairs of a kernel and its arguments.
define void @run(ptr %plan, i64 %count) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %twice = mul nuw nsw i64 %i, 2
  %slot = getelementptr ptr, ptr %plan, i64 %twice
  %kernel = load ptr, ptr %slot, align 8
  %second = getelementptr ptr, ptr %slot, i64 1
  %arguments = load ptr, ptr %second, align 8
  call void %kernel(ptr %arguments)
  %next = add nuw nsw i64 %i, 1
  br label %head
done:
  ret void
}

; Run a plan that begins with its number of pairs.
define void @run_counted(ptr %words) {
entry:
  %count = load i64, ptr %words, align 8
  %plan = getelementptr i64, ptr %words, i64 1
  call void @run(ptr %plan, i64 %count)
  ret void
}

; Run a plan `steps` times. Before each, copy the step's `width` bytes of scalars to `target` and
; the address of its row of `orders` to `order`; afterwards copy `size` bytes of loss to history.
define void @train(ptr %plan, i64 %count, i64 %steps, ptr %scalars, i64 %width, ptr %target,
                   ptr %orders, i64 %stride, ptr %order, ptr %loss, i64 %size, ptr %history) {
entry:
  br label %head
head:
  %step = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %step, %steps
  br i1 %more, label %body, label %done
body:
  %offset = mul i64 %step, %width
  %row = getelementptr i8, ptr %scalars, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %row, i64 %width, i1 false)
  %along = mul i64 %step, %stride
  %batch = getelementptr i8, ptr %orders, i64 %along
  store ptr %batch, ptr %order, align 8
  call void @run(ptr %plan, i64 %count)
  %kept = mul i64 %step, %size
  %place = getelementptr i8, ptr %history, i64 %kept
  call void @llvm.memcpy.p0.p0.i64(ptr %place, ptr %loss, i64 %size, i1 false)
  %next = add nuw nsw i64 %step, 1
  br label %head
done:
  ret void
}
"""

_PORTIONS = """
; Run a plan for the samples first, ..., last - 1, `portion` at a time: for each of the `moving`
; triples (address of a word, base, bytes of an item) the word becomes the portion's first address,
; and the words at `counts` become its size.
define void @portions(ptr %plan, i64 %count, ptr %moving, i64 %nmoving, ptr %counts, i64 %ncounts,
                      i64 %first, i64 %last, i64 %portion) {
entry:
  br label %head
head:
  %start = phi i64 [ %first, %entry ], [ %stop, %ran ]
  %more = icmp slt i64 %start, %last
  br i1 %more, label %move, label %done
move:
  %stop = add i64 %start, %portion
  %left = sub i64 %last, %start
  %short = icmp slt i64 %left, %portion
  %size = select i1 %short, i64 %left, i64 %portion
  br label %movehead
movehead:
  %m = phi i64 [ 0, %move ], [ %nextm, %movebody ]
  %moremoving = icmp slt i64 %m, %nmoving
  br i1 %moremoving, label %movebody, label %counthead
movebody:
  %triple = mul i64 %m, 3
  %tp = getelementptr i64, ptr %moving, i64 %triple
  %word = load ptr, ptr %tp, align 8
  %bp = getelementptr i64, ptr %tp, i64 1
  %base = load i64, ptr %bp, align 8
  %ip = getelementptr i64, ptr %tp, i64 2
  %item = load i64, ptr %ip, align 8
  %shift = mul i64 %start, %item
  %address = add i64 %base, %shift
  store i64 %address, ptr %word, align 8
  %nextm = add i64 %m, 1
  br label %movehead
counthead:
  %c = phi i64 [ 0, %movehead ], [ %nextc, %countbody ]
  %morecounts = icmp slt i64 %c, %ncounts
  br i1 %morecounts, label %countbody, label %ran
countbody:
  %cp = getelementptr i64, ptr %counts, i64 %c
  %cw = load ptr, ptr %cp, align 8
  store i64 %size, ptr %cw, align 8
  %nextc = add i64 %c, 1
  br label %counthead
ran:
  call void @run(ptr %plan, i64 %count)
  br label %head
done:
  ret void
}
"""

_GATHER = """
; Copy the rows that a batch names: target[places[row][column]] = source[order[row]][column].
; Arguments: source, target, the address of the address of order, rows, columns, places.
define void @gather{bits}(ptr %args) {{
entry:
  %source = load ptr, ptr %args, align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %target = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %args, i64 2
  %slot = load ptr, ptr %a2, align 8
  %order = load ptr, ptr %slot, align 8
  %a3 = getelementptr ptr, ptr %args, i64 3
  %rows = load i64, ptr %a3, align 8
  %a4 = getelementptr ptr, ptr %args, i64 4
  %columns = load i64, ptr %a4, align 8
  %a5 = getelementptr ptr, ptr %args, i64 5
  %places = load ptr, ptr %a5, align 8
  br label %head
head:
  %row = phi i64 [ 0, %entry ], [ %nextrow, %rowdone ]
  %more = icmp slt i64 %row, %rows
  br i1 %more, label %inner, label %done
inner:
  ; Rows are anywhere: ask early for the lines at which a later one begins.
  %ahead = add i64 %row, 8
  %within = icmp slt i64 %ahead, %rows
  %later = select i1 %within, i64 %ahead, i64 %row
  %ls = getelementptr i64, ptr %order, i64 %later
  %latersample = load i64, ptr %ls, align 8
  %laterfrom = mul i64 %latersample, %columns
  %line0 = getelementptr i{bits}, ptr %source, i64 %laterfrom
  %line1 = getelementptr i8, ptr %line0, i64 64
  call void @llvm.prefetch.p0(ptr %line0, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %line1, i32 0, i32 3, i32 1)
  %os = getelementptr i64, ptr %order, i64 %row
  %sample = load i64, ptr %os, align 8
  %from = mul i64 %sample, %columns
  %to = mul i64 %row, %columns
  br label %loop
loop:
  %column = phi i64 [ 0, %inner ], [ %nextcolumn, %body ]
  %left = icmp slt i64 %column, %columns
  br i1 %left, label %body, label %rowdone
body:
  %si = add i64 %from, %column
  %sp = getelementptr i{bits}, ptr %source, i64 %si
  %x = load i{bits}, ptr %sp, align 4
  %pi = add i64 %to, %column
  %pp = getelementptr i64, ptr %places, i64 %pi
  %place = load i64, ptr %pp, align 8
  %tp = getelementptr i{bits}, ptr %target, i64 %place
  store i{bits} %x, ptr %tp, align 4
  %nextcolumn = add i64 %column, 1
  br label %loop
rowdone:
  %nextrow = add i64 %row, 1
  br label %head
done:
  ret void
}}
"""

_ADD = """
; Add `size` numbers to others: target[i] += source[i]. Arguments: target, source, size.
define void @add{bits}(ptr %args) {{
entry:
  %target = load ptr, ptr %args, align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %source = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %args, i64 2
  %size = load i64, ptr %a2, align 8
  %whole = and i64 %size, -8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %whole
  br i1 %more, label %body, label %resthead
body:
  %tp = getelementptr {type}, ptr %target, i64 %i
  %sp = getelementptr {type}, ptr %source, i64 %i
  %t = load <8 x {type}>, ptr %tp, align {bytes}
  %s = load <8 x {type}>, ptr %sp, align {bytes}
  %sum = fadd <8 x {type}> %t, %s
  store <8 x {type}> %sum, ptr %tp, align {bytes}
  %next = add i64 %i, 8
  br label %head
resthead:
  %j = phi i64 [ %whole, %head ], [ %nextj, %rest ]
  %left = icmp slt i64 %j, %size
  br i1 %left, label %rest, label %done
rest:
  %tq = getelementptr {type}, ptr %target, i64 %j
  %sq = getelementptr {type}, ptr %source, i64 %j
  %t1 = load {type}, ptr %tq, align {bytes}
  %s1 = load {type}, ptr %sq, align {bytes}
  %sum1 = fadd {type} %t1, %s1
  store {type} %sum1, ptr %tq, align {bytes}
  %nextj = add i64 %j, 1
  br label %resthead
done:
  ret void
}}
"""

RUNTIME = "".join(
    [
        *(_DRIVER, _PORTIONS, _GATHER.format(bits=64), _GATHER.format(bits=32)),
        _ADD.format(bits=64, type="double", bytes=8),
        _ADD.format(bits=32, type="float", bytes=4),
        TWISTER,
    ]
)
FUNCTIONS = (
    *("run", "run_counted", "train", "portions"),
    *("gather64", "gather32", "add64", "add32", "draw64", "draw32"),
)
"""What is called from outside."""
