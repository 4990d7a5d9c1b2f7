// Runs the threads of a block as fibers: a warp as far as it gets without the others, then the next warp, in a drawn order.
#include "testing/executor.h"

#include <cuda_runtime.h>
#include <ucontext.h>

#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

extern char __start_pc_ssl_shared[], __stop_pc_ssl_shared[];  // the linker's names for the section of all shared memory

dim3 blockIdx, threadIdx;

namespace shim {
namespace {

constexpr int kLanes = 32;
constexpr std::size_t kStackBytes = 128 * 1024;

// A place to go on from; a jump costs no system call, which swapcontext does.
struct Place {
  void* buffer[5];
  const void* stack = nullptr;  // what the address sanitizer wants to know
  std::size_t stack_bytes = 0;
};

enum class State { kReady, kAtBarrier, kAtCollective, kDone };

struct Fiber {
  ucontext_t start;
  std::unique_ptr<char[]> memory{new char[kStackBytes]};
  Place place;
  bool started = false;
  State state = State::kDone;
  unsigned index = 0;
  Collective collective = Collective::kSync;
  uint64_t value = 0;
};

struct Warp {
  uint64_t value[kLanes];
};

std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
Place scheduler;
Fiber* running = nullptr;
const std::function<void()>* body = nullptr;
std::string message;  // of the launch's first failure
std::mt19937_64 random_order;
uint64_t launches = 0;

[[gnu::noinline, noreturn]] void jump(Place& to) { __builtin_longjmp(to.buffer, 1); }

void announce([[maybe_unused]] const Place& to, [[maybe_unused]] void** kept) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(kept, to.stack, to.stack_bytes);
#endif
}

void arrive([[maybe_unused]] void* kept, [[maybe_unused]] Place* from) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(kept, from ? &from->stack : nullptr, from ? &from->stack_bytes : nullptr);
#endif
}

[[gnu::noinline]] void back_to_scheduler() {
  Fiber& self = *running;
  void* kept = nullptr;
  announce(scheduler, &kept);
  if (__builtin_setjmp(self.place.buffer) == 0) jump(scheduler);
  arrive(kept, nullptr);
}

void fiber_main() {
  arrive(nullptr, &scheduler);
  for (;;) {
    (*body)();
    running->state = State::kDone;
    back_to_scheduler();
  }
}

[[gnu::noinline]] void resume(Fiber& fiber) {
  running = &fiber;
  threadIdx = dim3(fiber.index, 0, 0);
  void* kept = nullptr;
  announce(fiber.place, &kept);
  if (__builtin_setjmp(scheduler.buffer) == 0) {
    if (fiber.started) jump(fiber.place);
    fiber.started = true;
    setcontext(&fiber.start);
  }
  arrive(kept, nullptr);
}

std::unique_ptr<Fiber> new_fiber(unsigned index) {
  auto fiber = std::make_unique<Fiber>();
  fiber->index = index;
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->memory.get();
  fiber->start.uc_stack.ss_size = kStackBytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, fiber_main, 0);
  fiber->place.stack = fiber->memory.get();
  fiber->place.stack_bytes = kStackBytes;
  return fiber;
}

// Lets the warp go on if all of its lanes have met; true if it did.
bool release_warp(unsigned warp) {
  const auto* lane = &fibers[warp * kLanes];
  for (int i = 0; i < kLanes; ++i)
    if (lane[i]->state != State::kAtCollective) return false;
  for (int i = 0; i < kLanes; ++i) {
    if (lane[i]->collective != lane[0]->collective) message = "the lanes of a warp wait in different collectives";
    warps[warp].value[i] = lane[i]->value;
    lane[i]->state = State::kReady;
  }
  return true;
}

void release_block(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i)
    if (fibers[i]->state != State::kAtBarrier) return;
  for (unsigned i = 0; i < threads; ++i) fibers[i]->state = State::kReady;
}

// Runs one warp as far as it gets without the others; true if it moved at all.
bool run_warp(unsigned warp, std::vector<unsigned>& lanes) {
  bool moved = false;
  do {
    std::shuffle(lanes.begin(), lanes.end(), random_order);
    for (const unsigned lane : lanes) {
      Fiber& fiber = *fibers[warp * kLanes + lane];
      if (fiber.state != State::kReady || !message.empty()) continue;
      resume(fiber);
      moved = true;
    }
  } while (release_warp(warp));
  return moved;
}

void run_block(unsigned threads) {
  std::memset(__start_pc_ssl_shared, 0xcd, __stop_pc_ssl_shared - __start_pc_ssl_shared);
  for (unsigned i = 0; i < threads; ++i) fibers[i]->state = State::kReady;
  std::vector<unsigned> turn(threads / kLanes), lanes(kLanes);
  std::iota(turn.begin(), turn.end(), 0);
  std::iota(lanes.begin(), lanes.end(), 0);
  for (bool moved = true; moved && message.empty();) {
    std::shuffle(turn.begin(), turn.end(), random_order);
    moved = false;
    for (const unsigned warp : turn) moved |= run_warp(warp, lanes);
    release_block(threads);
  }
  for (unsigned i = 0; i < threads && message.empty(); ++i)
    if (fibers[i]->state != State::kDone)
      message = fibers[i]->state == State::kAtBarrier ? "a thread waits at a barrier that others have passed or left"
                                                      : "a lane waits in a collective without all of its warp";
}

}  // namespace

void schedule(uint64_t seed) { random_order.seed(seed); }

const char* last_failure() { return message.c_str(); }

uint64_t num_launches() { return launches; }

[[noreturn]] void fail(const char* why) {
  if (message.empty()) message = why;
  for (;;) back_to_scheduler();  // the launch is over
}

void block_barrier() {
  running->state = State::kAtBarrier;
  back_to_scheduler();
}

const uint64_t* exchange(unsigned mask, Collective kind, uint64_t value) {
  if (mask != 0xffffffffu) fail("only collectives of a whole warp are known here");
  running->state = State::kAtCollective;
  running->collective = kind;
  running->value = value;
  back_to_scheduler();
  return warps[running->index / kLanes].value;
}

cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread_body) {
  ++launches;
  const unsigned threads = config.blockDim.x;
  const dim3 grid = config.gridDim;
  body = &thread_body;
  message = threads % kLanes ? "blocks of whole warps only" : "";
  while (fibers.size() < threads) fibers.push_back(new_fiber(static_cast<unsigned>(fibers.size())));
  warps.resize(std::max<std::size_t>(warps.size(), threads / kLanes));
  std::vector<uint64_t> turn(static_cast<uint64_t>(grid.x) * grid.y);
  std::iota(turn.begin(), turn.end(), 0);
  std::shuffle(turn.begin(), turn.end(), random_order);
  for (const uint64_t i : turn) {
    if (!message.empty()) break;
    blockIdx = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x), 0);
    run_block(threads);
  }
  if (message.empty()) return cudaSuccess;
  fibers.clear();  // their stacks are in the middle of a kernel
  return cudaErrorAssert;
}

}  // namespace shim

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
