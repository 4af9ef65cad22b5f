// Convolutions of maps in channels_last, [N, H, W, C] in float32. See __init__.py.
//
// 3x3 convolutions by F(4x4, 3x3) of Lavin and Gray (arXiv:1509.09308): a tile of 4x4 results needs a patch of
// 6x6 inputs, of which B^T d B makes 36 values; at each of these 36 positions the sum over the channels is a
// matrix product over all tiles; A^T m A makes the tile of its results. The points of interpolation are 0,
// +-sqrt(1/2), +-sqrt(2) and infinity: the usual 0, +-1, +-2 give more than twice the error.
//
// A strip of tiles is worked on at a time, so that its 36 planes stay in the caches. There a thread takes a
// block of output channels and transforms its kernels as it goes: kept, they would take four times their memory.
#include "vectors.h"

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

// Where a tile of results lies: in which sample, and its first row and column.
typedef struct { ptrdiff_t n, top, left; } Place;
static Place place_of(const Convolution *c, ptrdiff_t tile) {
    ptrdiff_t across = parts_of(c->W, 4), down = parts_of(c->H, 4);
    return (Place){tile / (down * across), tile / across % down * 4, tile % across * 4};
}

// The 36 values of one tile, into the planes of its group. `nothing` holds C zeros.
static void input_tile(const Convolution *c, ptrdiff_t tile, float *out, const float *nothing) {
    Place at = place_of(c, tile);
    const float *from[6][6], *scale = c->scale_in ? c->scale_in + at.n * c->C : NULL;
    for (ptrdiff_t i = 0; i < 6; i++)
        for (ptrdiff_t j = 0; j < 6; j++) {
            ptrdiff_t y = at.top + i - 1, x = at.left + j - 1;
            from[i][j] = y < 0 || y >= c->H || x < 0 || x >= c->W ? nothing : c->x + ((at.n * c->H + y) * c->W + x) * c->C;
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
                        rows[i][t] = G[3 * i] * AT(taps[t] + half) + G[3 * i + 1] * AT(taps[3 + t] + half)
                                     + G[3 * i + 2] * AT(taps[6 + t] + half);
                for (int i = 0; i < 6; i++)
                    for (int j = 0; j < 6; j++) {
                        const float *g = G + 18 + 3 * j;
                        AT(out + ((6 * i + j) * (to - from) + k - from) * PANEL + half) =
                            g[0] * rows[i][0] + g[1] * rows[i][1] + g[2] * rows[i][2];
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
    Place at = place_of(c, tile);
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
        vec scale = get(c->scale_out ? c->scale_out + at.n * c->K + first + k : NULL, 1);
        vec bias = get(c->bias ? c->bias + first + k : NULL, 0);
        for (ptrdiff_t i = 0; i < 4 && at.top + i < c->H; i++)
            for (ptrdiff_t j = 0; j < 4 && at.left + j < c->W; j++) {
                ptrdiff_t pixel = (up * (at.top + i) + down) * width + up * (at.left + j) + across;
                ptrdiff_t place = (at.n * height * width + pixel) * c->K + first + k;
                vec value = y[i][j] * scale + bias;
                if (c->noise) value += c->noise[at.n * c->noise_stride + pixel];
                if (c->residual) value += AT(c->residual + place);
                if (c->slope != 1) value = larger(c->slope * value, value);
                if (c->limit < INFINITY) value = smaller(all(c->limit), larger(all(-c->limit), value));
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
                block_of_strip(c, strip, part * groups / parts, (part + 1) * groups / parts, b % c->phases, b / c->phases * block(c),
                               planes, work);
            }
        }
    }
}
