"""Purity: a function that runs once for many calls in, a refusal out if it must run each time.

    time.time()         reads what may differ at the next call        `outside_reads`
    random.random()     draws what all later calls would get, too     `random_generators`
    seen.append(x)      changes what outlives the call                `mutation`

What to watch follows from what the function's code mentions, and from the objects that it can
reach. A `TraceError` gives the line, and says what to write instead.
"""
