"""Programs as mathematics: loop nests go in, formulas in the user's names come out.

    for i<3: t6[i] = subtract(sum[k<2](multiply(w[k], X[2i+k])), y[i])        a nest
    z1[s] = Σ_k w[k]·X[s,k] - y[s]    s<3, k<2                                its line

A listing says of each line, too, how many scalar operations it was rolled from.
"""
