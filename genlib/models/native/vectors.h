// Numbers side by side in a register, in the vectors of GCC and clang.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <omp.h>
#include <sys/mman.h>

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
// Where b is not a number, neither is the result.
INLINE vec larger(vec a, vec b) { return either(a > b, a, b); }
INLINE vec smaller(vec a, vec b) { return either(a < b, a, b); }
INLINE vec all(float value) { return (vec){} + value; }
INLINE vec get(const float *p, float otherwise) { if (p) return AT(p); return all(otherwise); }

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static ptrdiff_t parts_of(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

// Ask for pages of 2 MB, where Linux gives them: fresh memory costs a large map more time than its arithmetic.
static void on_large_pages(float *map, ptrdiff_t floats) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = 1 << 21, begin = ((uintptr_t)map + page - 1) / page * page, end = (uintptr_t)(map + floats) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#endif
}
