/* The other library alone: tests/abi.rs makes it as `make` makes ours, and has it unwind. */
#include <stdint.h>
#include <stdio.h>

uint32_t other_catches(uint32_t depth);
uint32_t other_threads_panic(uint32_t threads, uint32_t depth);
uint32_t other_destroyed(void);

int main(void) {
    uint32_t caught = other_catches(7) + other_threads_panic(3, 4);
    printf("%u caught, %u values destroyed\n", (unsigned)caught, (unsigned)other_destroyed());
    return 0;
}
