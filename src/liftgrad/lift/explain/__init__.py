"""Programs as mathematics: loop nests go in, formulas in the user's names come out.

    for i<3: t6[i] = subtract(sum[k<2](multiply(w[k], X[2i+k])), y[i])        a nest
    z1[s] = Σ_k w[k]·X[s,k] - y[s]    s<3, k<2                                its line

A listing says of each line, too, how many scalar operations it was rolled from. The lines of a loop
over time stand below it, and a state has the name of the user's variable, at whatever step it is:

    for t < 200:
      h[t] = tanh(w·h[t-1] + xs[t])
"""
