/* Two programs over time and their gradients, written out by hand: how fast can it be? */
#include <math.h>
#include <string.h>

/* How prey and predators change. */
static inline void change(const double *p, double x, double y, double *dx, double *dy)
{
    *dx = p[0] * x - p[1] * x * y;
    *dy = p[3] * x * y - p[2] * y;
}

/* Adds what adjoints of a change (u, v) at (x, y) say of (x, y) and of the rates. */
static inline void pull(const double *p, double x, double y, double u, double v, double *px,
                        double *py, double *g)
{
    *px = u * (p[0] - p[1] * y) + v * p[3] * y;
    *py = v * (p[3] * x - p[2]) - u * p[1] * x;
    g[0] += u * x;
    g[1] -= u * x * y;
    g[2] -= v * y;
    g[3] += v * x * y;
}

/* The mean squared difference of populations by Runge-Kutta steps of h and what was seen, (n, 2).
   `states` has room for 2·(n + 1) numbers. */
double lotka(const double *p, const double *seen, long n, double h, const double *first,
             double *gradient, double *states)
{
    double x = first[0], y = first[1], total = 0.0;
    states[0] = x;
    states[1] = y;
    for (long t = 0; t < n; t++) {
        double a, b, c, d, e, f, i, j;
        change(p, x, y, &a, &b);
        change(p, x + h / 2 * a, y + h / 2 * b, &c, &d);
        change(p, x + h / 2 * c, y + h / 2 * d, &e, &f);
        change(p, x + h * e, y + h * f, &i, &j);
        x += h / 6 * (a + 2 * c + 2 * e + i);
        y += h / 6 * (b + 2 * d + 2 * f + j);
        states[2 * t + 2] = x;
        states[2 * t + 3] = y;
        double u = x - seen[2 * t], v = y - seen[2 * t + 1];
        total += u * u + v * v;
    }
    double g[4] = {0.0}, sx = 0.0, sy = 0.0;
    for (long t = n - 1; t >= 0; t--) {
        sx += 2.0 / n * (states[2 * t + 2] - seen[2 * t]);
        sy += 2.0 / n * (states[2 * t + 3] - seen[2 * t + 1]);
        x = states[2 * t];
        y = states[2 * t + 1];
        double a, b, c, d, e, f;
        change(p, x, y, &a, &b);
        double x2 = x + h / 2 * a, y2 = y + h / 2 * b;
        change(p, x2, y2, &c, &d);
        double x3 = x + h / 2 * c, y3 = y + h / 2 * d;
        change(p, x3, y3, &e, &f);
        double x4 = x + h * e, y4 = y + h * f;
        double u4, v4, u3, v3, u2, v2, u1, v1;
        pull(p, x4, y4, h / 6 * sx, h / 6 * sy, &u4, &v4, g);
        pull(p, x3, y3, h / 3 * sx + h * u4, h / 3 * sy + h * v4, &u3, &v3, g);
        pull(p, x2, y2, h / 3 * sx + h / 2 * u3, h / 3 * sy + h / 2 * v3, &u2, &v2, g);
        pull(p, x, y, h / 6 * sx + h / 2 * u2, h / 6 * sy + h / 2 * v2, &u1, &v1, g);
        sx += u1 + u2 + u3 + u4;
        sy += v1 + v2 + v3 + v4;
    }
    memcpy(gradient, g, sizeof g);
    return total / n;
}

enum { UNITS = 8, INPUTS = 3, WIDTH = INPUTS + UNITS };
typedef double Vector[UNITS];

/* One gate's weights by columns, and those of the state by rows too. */
typedef struct {
    Vector columns[WIDTH], rows[UNITS];
} Gate;

static void arranged(const double *weights, Gate *gate)
{
    for (int i = 0; i < UNITS; i++)
        for (int k = 0; k < WIDTH; k++) {
            gate->columns[k][i] = weights[i * WIDTH + k];
            if (k >= INPUTS)
                gate->rows[i][k - INPUTS] = weights[i * WIDTH + k];
        }
}

/* The gate's products with an input and a state. */
static inline void product(const Gate *gate, const double *x, const double *h, double *out)
{
    Vector sum = {0.0};
    for (int k = 0; k < INPUTS; k++)
        for (int i = 0; i < UNITS; i++)
            sum[i] += gate->columns[k][i] * x[k];
    for (int k = 0; k < UNITS; k++)
        for (int i = 0; i < UNITS; i++)
            sum[i] += gate->columns[INPUTS + k][i] * h[k];
    memcpy(out, sum, sizeof sum);
}

/* Adds to the gradient by a gate's weights, and returns what the adjoints say of the state. */
static inline void back(const Gate *gate, const double *adjoint, const double *x, const double *h,
                        Vector *gradient, double *state)
{
    Vector sum = {0.0};
    for (int k = 0; k < INPUTS; k++)
        for (int i = 0; i < UNITS; i++)
            gradient[k][i] += adjoint[i] * x[k];
    for (int k = 0; k < UNITS; k++)
        for (int i = 0; i < UNITS; i++)
            gradient[INPUTS + k][i] += adjoint[i] * h[k];
    for (int i = 0; i < UNITS; i++)
        for (int k = 0; k < UNITS; k++)
            sum[k] += gate->rows[i][k] * adjoint[i];
    memcpy(state, sum, sizeof sum);
}

/* What a step of the GRU leaves for the way back. */
typedef struct {
    Vector h, z, r, n, held;
} Step;

/* The mean squared error of a GRU whose gates z, r and n have weights (8, 11), and whose head has 8,
   all in one array; `kept` has room for 40·(steps + 1) numbers. */
double gru(const double *weights, const double *inputs, const double *targets, long steps,
           double *gradient, Step *kept)
{
    static Gate gates[3];
    const double *head = weights + 3 * UNITS * WIDTH;
    for (int k = 0; k < 3; k++)
        arranged(weights + k * UNITS * WIDTH, &gates[k]);
    double total = 0.0;
    memset(kept[0].h, 0, sizeof(Vector));
    for (long t = 0; t < steps; t++) {
        Step *s = &kept[t];
        const double *x = inputs + INPUTS * t;
        product(&gates[0], x, s->h, s->z);
        product(&gates[1], x, s->h, s->r);
#pragma omp simd
        for (int i = 0; i < UNITS; i++) {
            s->z[i] = 1.0 / (1.0 + exp(-s->z[i]));
            s->r[i] = 1.0 / (1.0 + exp(-s->r[i]));
            s->held[i] = s->r[i] * s->h[i];
        }
        product(&gates[2], x, s->held, s->n);
        double answer = 0.0;
#pragma omp simd reduction(+ : answer)
        for (int i = 0; i < UNITS; i++) {
            s->n[i] = 1.0 - 2.0 / (1.0 + exp(2.0 * s->n[i]));
            s[1].h[i] = (1.0 - s->z[i]) * s->n[i] + s->z[i] * s->h[i];
            answer += head[i] * s[1].h[i];
        }
        total += (answer - targets[t]) * (answer - targets[t]);
    }
    Vector sums[3][WIDTH] = {{{0.0}}}, by_head = {0.0}, state = {0.0};
    for (long t = steps - 1; t >= 0; t--) {
        const Step *s = &kept[t];
        const double *x = inputs + INPUTS * t;
        double answer = 0.0;
        for (int i = 0; i < UNITS; i++)
            answer += head[i] * s[1].h[i];
        double error = 2.0 / steps * (answer - targets[t]);
        Vector z, r, n, by_z, by_r, by_held;
        for (int i = 0; i < UNITS; i++) {
            by_head[i] += error * s[1].h[i];
            state[i] += error * head[i];
            z[i] = state[i] * (s->h[i] - s->n[i]) * s->z[i] * (1.0 - s->z[i]);
            n[i] = state[i] * (1.0 - s->z[i]) * (1.0 - s->n[i] * s->n[i]);
        }
        back(&gates[2], n, x, s->held, sums[2], by_held);
        for (int i = 0; i < UNITS; i++)
            r[i] = by_held[i] * s->h[i] * s->r[i] * (1.0 - s->r[i]);
        back(&gates[0], z, x, s->h, sums[0], by_z);
        back(&gates[1], r, x, s->h, sums[1], by_r);
        for (int i = 0; i < UNITS; i++)
            state[i] = state[i] * s->z[i] + by_held[i] * s->r[i] + by_z[i] + by_r[i];
    }
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < UNITS; i++)
            for (int k = 0; k < WIDTH; k++)
                gradient[(g * UNITS + i) * WIDTH + k] = sums[g][k][i];
    memcpy(gradient + 3 * UNITS * WIDTH, by_head, sizeof by_head);
    return total / steps;
}
