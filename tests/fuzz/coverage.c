/* Counts what compiled code reaches, for a fuzzer to read.
 *
 * Linked into every module that is built with -fsanitize-coverage=trace-pc, which gcc and clang both
 * have: they call the hook at each edge. (What libFuzzer reads by itself, inline 8-bit counters,
 * gcc has not.) Each module has counters of its own: the hook is hidden, so that it binds to them.
 */
#include <stddef.h>
#include <stdint.h>

enum { COUNTERS = 1 << 14 };

/* Eight at a time are skipped while they are 0. */
static uint8_t counters[COUNTERS] __attribute__((aligned(64)));

__attribute__((visibility("hidden"), no_sanitize("address", "undefined"), no_sanitize_coverage))
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    /* No two calls are within 4 bytes. In a large module some share a counter, which costs little. */
    uint8_t *counter = &counters[((here - (uintptr_t)counters) >> 2) % COUNTERS];
    *counter += *counter != UINT8_MAX;
}

/* Where the counters of this module begin, and how many there are. */
__attribute__((visibility("default"))) uint8_t *wsgate_coverage(size_t *count);
uint8_t *wsgate_coverage(size_t *count)
{
    *count = COUNTERS;
    return counters;
}
