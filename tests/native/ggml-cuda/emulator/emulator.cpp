// The threads of common.cuh: fibers with a stack each, switched by hand (x86-64).
#include "common.cuh"

#include <cstdio>
#include <memory>
#include <vector>

namespace emulator {

dim3 grid_dim, block_dim, block_idx, thread_idx;

namespace {

constexpr size_t STACK_BYTES = 128 << 10;

struct barrier {
    int arrived = 0;
    int passed  = 0;
};

struct fiber {
    void * sp = nullptr;
    bool   done = false;
    std::unique_ptr<char[]> stack { new char[STACK_BYTES] };
};

std::vector<fiber>   fibers;
std::vector<barrier> lane_barriers;
std::vector<std::unique_ptr<char[]>> slots;
barrier block_barrier;
int     n_running;
int     current;
long    n_steps; // barriers passed and fibers ended
void  * scheduler_sp;
const std::function<void()> * body;

// saves what a call preserves on this stack, and continues on the other
extern "C" void emulator_switch(void ** save_sp, void * load_sp);
asm(R"(
.text
.globl emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
.size emulator_switch, .-emulator_switch
.section .note.GNU-stack,"",@progbits
.text
)");

void yield() { emulator_switch(&fibers[current].sp, scheduler_sp); }

void run_fiber() {
    (*body)();
    fibers[current].done = true;
    --n_running;
    ++n_steps;
    yield();
}

void start_fiber(fiber & f) {
    f.done = false;
    uintptr_t top = ((uintptr_t) f.stack.get() + STACK_BYTES) & ~(uintptr_t) 15;
    void ** sp = (void **) top;
    *--sp = nullptr;             // run_fiber's return address: it does not return
    *--sp = (void *) &run_fiber; // where the first switch returns to
    sp -= 6;                     // the saved registers
    f.sp = sp;
}

void wait(barrier & b, int n) {
    const int passed = b.passed;
    if (++b.arrived == n) {
        b.arrived = 0;
        ++b.passed;
        ++n_steps;
        return;
    }
    while (b.passed == passed) {
        yield();
    }
}

int n_lanes() { return std::min<int>(32, (int) block_dim.x - current/32*32); }

} // namespace

void sync_block() {
    if (n_running != (int) block_dim.x) {
        std::fprintf(stderr, "emulator: a barrier after threads of the block have returned\n");
        std::abort();
    }
    wait(block_barrier, (int) block_dim.x);
}

void sync_lanes() { wait(lane_barriers[current/32], n_lanes()); }

void * lane_slots() { return slots[current/32].get(); }

void launch(dim3 grid, dim3 block, const std::function<void()> & thread) {
    grid_dim  = grid;
    block_dim = block;
    body      = &thread;
    const int n = (int) block.x;
    fibers.resize(std::max<size_t>(fibers.size(), n));
    while (slots.size() < fibers.size()/32 + 1) {
        slots.emplace_back(new char[32*32]);
    }
    for (unsigned i = 0; i < grid.x*grid.y*grid.z; ++i) {
        block_idx = dim3(i % grid.x, i/grid.x % grid.y, i/grid.x/grid.y);
        block_barrier = {};
        lane_barriers.assign(slots.size(), {});
        n_running = n;
        for (int j = 0; j < n; ++j) {
            start_fiber(fibers[j]);
        }
        while (n_running > 0) {
            const long before = n_steps;
            for (current = 0; current < n; ++current) {
                if (!fibers[current].done) {
                    thread_idx = dim3(current, 0, 0);
                    emulator_switch(&scheduler_sp, fibers[current].sp);
                }
            }
            if (n_steps == before) {
                std::fprintf(stderr, "emulator: threads of a block wait at different barriers\n");
                std::abort();
            }
        }
    }
}

} // namespace emulator
