// Convolutions and normalisation for maps in channels_last, [N, H, W, C] in float32. See __init__.py.
//
// 3x3 convolutions by F(4x4, 3x3) of Lavin and Gray (arXiv:1509.09308): a tile of 4x4 results needs a patch of
// 6x6 inputs, of which B^T d B makes 36 values; at each of these 36 positions the sum over the channels is a
// matrix product over all tiles; A^T m A makes the tile of its results. The points of interpolation are 0,
// +-sqrt(1/2), +-sqrt(2) and infinity: the usual 0, +-1, +-2 give more than twice the error.
//
// A strip of tiles is worked on at a time, so that its 36 planes stay in the caches. There a thread takes a
// block of output channels and transforms its kernels as it goes: kept, they would take four times their memory.
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <omp.h>
#ifdef __linux__
#include <stdint.h>
#include <sys/mman.h>
#endif

// VL: floats in a register. ROWS: rows of a product that are summed up in registers at once.
#if defined __AVX512F__
enum { VL = 16, ROWS = 14 };
#elif defined __AVX__
enum { VL = 8, ROWS = 6 };
#else
enum { VL = 4, ROWS = 8 };
#endif
enum { PANEL = 2 * VL, POINTS = 36 };
typedef float vec __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(4 * VL)));

#define INLINE static inline __attribute__((always_inline))
#define AT(p) (*(vec *)(p))
INLINE vec either(mask which, vec a, vec b) { return (vec)((which & (mask)a) | (~which & (mask)b)); }
INLINE vec larger(vec a, vec b) { return either(a > b, a, b); }
INLINE vec smaller(vec a, vec b) { return either(a < b, a, b); }
INLINE vec all(float value) { return (vec){} + value; }
INLINE vec get(const float *p, float otherwise) { if (p) return AT(p); return all(otherwise); }

typedef struct {
    const float *x, *kernel;  // [N, H, W, C], [K, C, 3, 3]
    float *y;                 // [N, H, W, K], or [N, 2H, 2W, K] where it upsamples
    const float *to_points;   // [phases, 2, 6, 3]: from the taps of a kernel to its values at the points, down and across
    const float *scale_in, *scale_out;      // [N, C], [N, K] or NULL
    const float *bias, *noise, *residual;   // [K], [H, W] or [N, H, W] of the result, like y; or NULL
    float *work;              // as many floats as `winograd_floats` says
    ptrdiff_t N, H, W, C, K;
    ptrdiff_t phases;         // 1, or 4 where each sample becomes 2x2: a convolution for each
    ptrdiff_t noise_stride;   // floats between the noise of two samples; 0: all have the same
    ptrdiff_t group, groups;  // tiles in a group, groups in a strip
    float slope, limit;       // of the activation below 0 (1: none), and where the result is clamped
} Convolution;

enum { BLOCK = 64, DEPTH = 256 };  // output and input channels of the kernels that are transformed at once

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static ptrdiff_t parts_of(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
static ptrdiff_t tiles_of(const Convolution *c) { return c->N * parts_of(c->H, 4) * parts_of(c->W, 4); }
static ptrdiff_t block(const Convolution *c) { return least(c->K, BLOCK); }
static ptrdiff_t plane(const Convolution *c) { return c->group * c->C + VL; }  // + VL: else all planes begin in the same set of the cache
static ptrdiff_t products(const Convolution *c) { return POINTS * c->group * block(c); }
static ptrdiff_t for_a_thread(const Convolution *c) {
    return POINTS * block(c) * least(c->C, DEPTH) + products(c) * (c->C > DEPTH ? c->groups : 1);
}

ptrdiff_t winograd_floats(const Convolution *c) {
    return POINTS * plane(c) * c->groups + omp_get_max_threads() * for_a_thread(c) + c->C;
}

// B^T d for six values.
INLINE void to_points(vec *d0, vec *d1, vec *d2, vec *d3, vec *d4, vec *d5) {
    const float a = 0.70710678f, b = 1.41421356f;
    vec even_a = *d4 - 2 * *d2, odd_a = a * *d3 - b * *d1, even_b = *d4 - 0.5f * *d2, odd_b = b * *d3 - a * *d1;
    *d0 += *d4 - 2.5f * *d2;
    *d5 += *d1 - 2.5f * *d3;
    *d1 = even_a + odd_a, *d2 = even_a - odd_a, *d3 = even_b + odd_b, *d4 = even_b - odd_b;
}

// The 36 values of one tile, into the planes of its group. `nothing` holds C zeros.
static void input_tile(const Convolution *c, ptrdiff_t tile, float *out, const float *nothing) {
    ptrdiff_t w = (c->W + 3) / 4, h = (c->H + 3) / 4, n = tile / (h * w), top = tile / w % h * 4 - 1, left = tile % w * 4 - 1;
    const float *from[6][6], *scale = c->scale_in ? c->scale_in + n * c->C : NULL;
    for (ptrdiff_t i = 0; i < 6; i++)
        for (ptrdiff_t j = 0; j < 6; j++) {
            ptrdiff_t y = top + i, x = left + j;
            from[i][j] = y < 0 || y >= c->H || x < 0 || x >= c->W ? nothing : c->x + ((n * c->H + y) * c->W + x) * c->C;
        }
    for (ptrdiff_t k = 0; k < c->C; k += VL) {
        vec d[6][6];
        for (int i = 0; i < 6; i++) {
            for (int j = 0; j < 6; j++) d[i][j] = AT(from[i][j] + k);
            to_points(&d[i][0], &d[i][1], &d[i][2], &d[i][3], &d[i][4], &d[i][5]);
        }
        vec s = get(scale ? scale + k : NULL, 1);
        for (int j = 0; j < 6; j++) {
            to_points(&d[0][j], &d[1][j], &d[2][j], &d[3][j], &d[4][j], &d[5][j]);
            for (int i = 0; i < 6; i++) AT(out + (6 * i + j) * plane(c) + k) = d[i][j] * s;
        }
    }
}

// The values at the points of the kernels from `first` on, of input channels `from` to `to`: [panel, 36, channel, PANEL].
static void transform_kernels(const Convolution *c, ptrdiff_t first, ptrdiff_t count, ptrdiff_t from, ptrdiff_t to, const float *G,
                              float *out) {
    for (ptrdiff_t panel = 0; panel < count; panel += PANEL, out += POINTS * (to - from) * PANEL)
        for (ptrdiff_t k = from; k < to; k++) {
            float taps[9][PANEL];
            const float *kernel = c->kernel + ((first + panel) * c->C + k) * 9;
            for (int o = 0; o < PANEL; o++)
                for (int t = 0; t < 9; t++) taps[t][o] = kernel[o * c->C * 9 + t];
            for (int half = 0; half < PANEL; half += VL) {
                vec rows[6][3];
                for (int i = 0; i < 6; i++)
                    for (int t = 0; t < 3; t++)
                        rows[i][t] = G[3 * i] * AT(taps[t] + half) + G[3 * i + 1] * AT(taps[3 + t] + half) + G[3 * i + 2] * AT(taps[6 + t] + half);
                for (int i = 0; i < 6; i++)
                    for (int j = 0; j < 6; j++) {
                        const float *g = G + 18 + 3 * j;
                        AT(out + ((6 * i + j) * (to - from) + k - from) * PANEL + half) = g[0] * rows[i][0] + g[1] * rows[i][1] + g[2] * rows[i][2];
                    }
            }
        }
}

// out[rows, PANEL] (+)= v[rows, depth] u[depth, PANEL], in registers throughout.
INLINE void multiply_rows(const int rows, const float *v, ptrdiff_t v_stride, const float *u, ptrdiff_t depth, float *out,
                          ptrdiff_t out_stride, int more) {
    vec sum[ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) sum[i][j] = more ? AT(out + i * out_stride + j * VL) : (vec){};
    for (ptrdiff_t k = 0; k < depth; k++, u += PANEL) {
        vec u0 = AT(u), u1 = AT(u + VL);
        for (int i = 0; i < rows; i++) {
            float factor = v[i * v_stride + k];
            sum[i][0] += factor * u0;
            sum[i][1] += factor * u1;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) AT(out + i * out_stride + j * VL) = sum[i][j];
}

static void multiply(ptrdiff_t rows, const float *v, ptrdiff_t v_stride, const float *u, ptrdiff_t depth, float *out, ptrdiff_t out_stride,
                     int more) {
    switch (rows) {  // a constant for the compiler, so that it unrolls
#define CASE(n) case n: multiply_rows(n, v, v_stride, u, depth, out, out_stride, more); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if !defined __AVX__ || defined __AVX512F__
        CASE(7) CASE(8)
#endif
#ifdef __AVX512F__
        CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
    }
}

// A^T m for six values, into the first four.
INLINE void from_points(const vec *m, ptrdiff_t stride, vec *y) {
    const float a = 0.70710678f, b = 1.41421356f;
    vec s = m[stride] + m[2 * stride], t = a * (m[stride] - m[2 * stride]), u = m[3 * stride] + m[4 * stride];
    vec v = b * (m[3 * stride] - m[4 * stride]);
    y[0] = m[0] + s + u, y[1] = t + v, y[2] = 0.5f * s + 2 * u, y[3] = 0.5f * t + 2 * v + m[5 * stride];
}

// The 4x4 results of a tile for `count` channels from `first` on, finished, into the map.
static void output_tile(const Convolution *c, ptrdiff_t tile, ptrdiff_t phase, ptrdiff_t first, ptrdiff_t count, const float *m,
                        ptrdiff_t stride) {
    ptrdiff_t w = (c->W + 3) / 4, h = (c->H + 3) / 4, n = tile / (h * w), top = tile / w % h * 4, left = tile % w * 4;
    ptrdiff_t up = c->phases == 4 ? 2 : 1, width = up * c->W, height = up * c->H, down = phase / 2, across = phase % 2;
    for (ptrdiff_t k = 0; k < count; k += VL) {
        vec d[6][6], rows[6][4], y[4][4];
        for (int i = 0; i < 6; i++) {
            for (int j = 0; j < 6; j++) d[i][j] = AT(m + (6 * i + j) * stride + k);
            from_points(d[i], 1, rows[i]);
        }
        for (int j = 0; j < 4; j++) {
            vec column[4];
            from_points(&rows[0][j], 4, column);
            for (int i = 0; i < 4; i++) y[i][j] = column[i];
        }
        vec scale = get(c->scale_out ? c->scale_out + n * c->K + first + k : NULL, 1), bias = get(c->bias ? c->bias + first + k : NULL, 0);
        for (ptrdiff_t i = 0; i < 4 && top + i < c->H; i++)
            for (ptrdiff_t j = 0; j < 4 && left + j < c->W; j++) {
                ptrdiff_t at = (up * (top + i) + down) * width + up * (left + j) + across;
                ptrdiff_t place = (n * height * width + at) * c->K + first + k;
                vec value = y[i][j] * scale + bias;
                if (c->noise) value += c->noise[n * c->noise_stride + at];
                if (c->residual) value += AT(c->residual + place);
                if (c->slope != 1) value = larger(value, c->slope * value);
                if (c->limit < INFINITY) value = smaller(larger(value, all(-c->limit)), all(c->limit));
                AT(c->y + place) = value;
            }
    }
}

// A thread's share of a strip: groups `begin` to `end` of it, for one block of output channels of one phase.
static void block_of_strip(const Convolution *c, ptrdiff_t strip, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t phase, ptrdiff_t first,
                           const float *planes, float *work) {
    ptrdiff_t count = least(c->K - first, block(c)), all = tiles_of(c);
    float *u = work, *m = work + POINTS * block(c) * least(c->C, DEPTH);
    for (ptrdiff_t from = 0; from < c->C; from += DEPTH) {
        ptrdiff_t to = least(from + DEPTH, c->C), depth = to - from;
        transform_kernels(c, first, count, from, to, c->to_points + 36 * phase, u);
        for (ptrdiff_t group = begin; group < end; group++) {
            ptrdiff_t tile = strip + group * c->group, tiles = least(c->group, all - tile), turns = parts_of(tiles, ROWS);
            const float *v = planes + group * POINTS * plane(c) + from;
            float *product = m + (c->C > DEPTH ? group - begin : 0) * products(c);
            for (int point = 0; point < POINTS; point++)
                for (ptrdiff_t turn = 0; turn < turns; turn++) {
                    ptrdiff_t row = turn * tiles / turns, rows = (turn + 1) * tiles / turns - row;
                    for (ptrdiff_t panel = 0; panel < count; panel += PANEL)
                        multiply(rows, v + point * plane(c) + row * c->C, c->C, u + (panel * POINTS + point * PANEL) * depth, depth,
                                 product + (point * tiles + row) * count + panel, count, from > 0);
                }
            for (ptrdiff_t i = 0; to == c->C && i < tiles; i++)
                output_tile(c, tile + i, phase, first, count, product + i * count, tiles * count);
        }
    }
}

// Ask for pages of 2 MB, where Linux gives them: fresh memory costs a large map more time than its arithmetic.
static void on_large_pages(float *map, ptrdiff_t floats) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = 1 << 21, begin = ((uintptr_t)map + page - 1) / page * page, end = (uintptr_t)(map + floats) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#endif
}

void winograd(const Convolution *c) {
    on_large_pages(c->y, c->N * c->H * c->W * c->K * c->phases);
    ptrdiff_t all = tiles_of(c), blocks = parts_of(c->K, block(c)) * c->phases;
    float *planes = c->work, *nothing = planes + POINTS * plane(c) * c->groups, *works = nothing + c->C;
    memset(nothing, 0, c->C * sizeof *nothing);
#pragma omp parallel
    {
        ptrdiff_t threads = omp_get_num_threads(), parts = 1;
        while (blocks * parts % threads && parts < threads) parts++;  // so that all have as much to do
        float *work = works + omp_get_thread_num() * for_a_thread(c);
        for (ptrdiff_t strip = 0; strip < all; strip += c->group * c->groups) {
            ptrdiff_t tiles = least(all - strip, c->group * c->groups), groups = parts_of(tiles, c->group);
#pragma omp for schedule(static)
            for (ptrdiff_t group = 0; group < groups; group++)
                for (ptrdiff_t i = 0; i < least(c->group, tiles - group * c->group); i++)
                    input_tile(c, strip + group * c->group + i, planes + group * POINTS * plane(c) + i * c->C, nothing);
#pragma omp for schedule(static)
            for (ptrdiff_t item = 0; item < blocks * parts; item++) {
                ptrdiff_t b = item / parts, part = item % parts;
                block_of_strip(c, strip, part * groups / parts, (part + 1) * groups / parts, b % c->phases, b / c->phases * block(c), planes,
                               work);
            }
        }
    }
}

// e^x for x in [-87, 87], to 2e-7 of itself: 2^n e^r with |r| <= ln(2) / 2, and a Taylor series for e^r.
INLINE vec exponential(vec x) {
    x = smaller(larger(x, all(-87)), all(87));
    mask n = __builtin_convertvector(x * 1.44269504f + either(x < 0, all(-0.5f), all(0.5f)), mask);  // to the nearest
    vec whole = __builtin_convertvector(n, vec), r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec sum = all(1.f / 720);
    sum = sum * r + 1.f / 120, sum = sum * r + 1.f / 24, sum = sum * r + 1.f / 6, sum = sum * r + 0.5f, sum = sum * r + 1, sum = sum * r + 1;
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

// Sums of a few pixels, and of their squares: few, since they are added in float32.
static void add_up(const Norm *c, const float *x, ptrdiff_t pixels, double *sums) {
    for (ptrdiff_t k = 0; k < c->C; k += VL) {
        vec sum = {}, squares = {};
        for (ptrdiff_t p = 0; p < pixels; p++) {
            vec value = AT(x + p * c->C + k);
            sum += value, squares += value * value;
        }
        for (int i = 0; i < VL; i++) sums[k + i] += sum[i], sums[c->C + k + i] += squares[i];
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
