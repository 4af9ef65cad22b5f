// Group normalisation of maps in channels_last, [N, H, W, C] in float32, with SiLU in the same pass.
#include "vectors.h"

// e^x for x in [-87, 87], to 2e-7 of itself: 2^n e^r with |r| <= ln(2) / 2, and a Taylor series for e^r.
INLINE vec exponential(vec x) {
    x = smaller(all(87), larger(all(-87), x));
    mask n = __builtin_convertvector(x * 1.44269504f + either(x < 0, all(-0.5f), all(0.5f)), mask);  // to the nearest
    vec whole = __builtin_convertvector(n, vec), r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec sum = all(1.f / 720);
    sum = sum * r + 1.f / 120, sum = sum * r + 1.f / 24, sum = sum * r + 1.f / 6;
    sum = sum * r + 0.5f, sum = sum * r + 1, sum = sum * r + 1;
    return sum * (vec)((n + 127) << 23);
}

typedef struct {
    const float *x, *weight, *bias;  // [N, P, C] with P pixels, [C], [C]
    float *y;                        // like x
    double *sums;                    // 2 N C for each thread, and as many in all
    ptrdiff_t N, P, C, groups;
    ptrdiff_t silu;                  // whether x sigmoid(x) follows
    float eps;
} Norm;

ptrdiff_t norm_doubles(const Norm *c) { return (omp_get_max_threads() + 1) * 2 * c->N * c->C; }

// Sums of a few pixels, and of their squares: few, since they are added in float32; and less the first of them,
// since of numbers far from 0 the squares would leave no digits for how they differ.
static void add_up(const Norm *c, const float *x, ptrdiff_t pixels, double *sums) {
    for (ptrdiff_t k = 0; k < c->C; k += VL) {
        vec first = AT(x + k), sum = {}, squares = {};
        for (ptrdiff_t p = 1; p < pixels; p++) {
            vec value = AT(x + p * c->C + k) - first;
            sum += value, squares += value * value;
        }
        for (int i = 0; i < VL; i++) {
            double from = first[i], total = sum[i] + pixels * from;
            sums[k + i] += total, sums[c->C + k + i] += squares[i] + from * (sum[i] + total);
        }
    }
}

// y = x scale + shift, with silu after it where it is asked for.
static void apply(const Norm *c, const float *x, float *y, ptrdiff_t pixels, const double *scale, const double *shift) {
    for (ptrdiff_t k = 0; k < c->C; k += VL) {
        vec a, b;
        for (int i = 0; i < VL; i++) a[i] = scale[k + i], b[i] = shift[k + i];
        for (ptrdiff_t p = 0; p < pixels; p++) {
            vec value = AT(x + p * c->C + k) * a + b;
            if (c->silu) value /= 1 + exponential(-value);
            AT(y + p * c->C + k) = value;
        }
    }
}

// From the sums of each channel to its scale and shift: group normalisation (arXiv:1803.08494, eq. 1 to 6).
static void scales(const Norm *c, double *sums) {
    ptrdiff_t size = c->C / c->groups;
    for (ptrdiff_t g = 0; g < c->groups; g++) {
        double sum = 0, squares = 0;
        for (ptrdiff_t k = g * size; k < (g + 1) * size; k++) sum += sums[k], squares += sums[c->C + k];
        double mean = sum / (size * c->P), variance = squares / (size * c->P) - mean * mean;
        double scale = 1 / sqrt((variance > 0 ? variance : 0) + c->eps);
        for (ptrdiff_t k = g * size; k < (g + 1) * size; k++) {
            sums[k] = scale * (c->weight ? c->weight[k] : 1);
            sums[c->C + k] = (c->bias ? c->bias[k] : 0) - mean * sums[k];
        }
    }
}

void norm(const Norm *c) {
    on_large_pages(c->y, c->N * c->P * c->C);
    enum { PIXELS = 16 };
    ptrdiff_t chunks = parts_of(c->P, PIXELS), size = 2 * c->C;
#pragma omp parallel
    {
        ptrdiff_t threads = omp_get_num_threads();
        double *mine = c->sums + (omp_get_thread_num() + 1) * c->N * size;
        memset(mine, 0, c->N * size * sizeof *mine);
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < c->N * chunks; i++) {
            ptrdiff_t n = i / chunks, first = i % chunks * PIXELS;
            add_up(c, c->x + (n * c->P + first) * c->C, least(PIXELS, c->P - first), mine + n * size);
        }
#pragma omp for schedule(static)
        for (ptrdiff_t n = 0; n < c->N; n++) {
            double *sums = c->sums + n * size;
            memset(sums, 0, size * sizeof *sums);
            for (ptrdiff_t t = 1; t <= threads; t++)
                for (ptrdiff_t k = 0; k < size; k++) sums[k] += c->sums[(t * c->N + n) * size + k];
            scales(c, sums);
        }
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < c->N * chunks; i++) {
            ptrdiff_t n = i / chunks, first = i % chunks * PIXELS, at = (n * c->P + first) * c->C;
            apply(c, c->x + at, c->y + at, least(PIXELS, c->P - first), c->sums + n * size, c->sums + n * size + c->C);
        }
    }
}
