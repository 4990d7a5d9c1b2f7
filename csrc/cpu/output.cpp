#include "cpu/output.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Allocator.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace pc_ssl::cpu {

#if defined(MADV_HUGEPAGE) && defined(MADV_FREE)
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = size_t{1} << 20;     // smaller blocks malloc keeps by itself
constexpr size_t kMostKept = size_t{2} << 30;  // two gradients of a million points of 256 channels

struct Block {
  char* memory;
  size_t size;  // whole huge pages
};

// Address space in whole huge pages: mapped with a page more than asked, and trimmed to the boundary.
Block map_block(size_t size) {
  void* mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TORCH_CHECK_WITH(OutOfMemoryError, mapped != MAP_FAILED, "region_pool: no memory for a result of ", size, " bytes");
  char* first = static_cast<char*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<size_t>(first) % kHugePage) % kHugePage;
  if (before) munmap(first, before);
  munmap(first + before + size, kHugePage - before);
  madvise(first + before, size, MADV_HUGEPAGE);  // advice: its refusal changes nothing
  return {first + before, size};
}

class KeepingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const size_t size = std::max(bytes + kHugePage - 1, kHugePage) / kHugePage * kHugePage;
    auto block = std::make_unique<Block>(take(size));
    if (!block->memory) *block = map_block(size);
    char* memory = block->memory;
    return {memory, block.release(), give_back, c10::Device(c10::kCPU)};
  }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  // Never destroyed: tensors may be freed after every static object of this library.
  static KeepingAllocator& instance() {
    static auto* allocator = new KeepingAllocator;
    return *allocator;
  }

 private:
  // The smallest kept block that holds `size` bytes without wasting a quarter of it.
  Block take(size_t size) {
    const std::unique_lock lock(mutex_, std::try_to_lock);  // see give_back
    if (!lock) return {};
    size_t best = kept_.size();
    for (size_t k = 0; k < kept_.size(); ++k)
      if (kept_[k].size >= size && kept_[k].size <= size + size / 4 &&
          (best == kept_.size() || kept_[k].size <= kept_[best].size))
        best = k;
    if (best == kept_.size()) return {};
    const Block block = kept_[best];
    kept_.erase(kept_.begin() + best);
    kept_bytes_ -= block.size;
    return block;
  }

  // A lock that another thread holds is not waited for: in a forked process it may never be released.
  static void give_back(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    KeepingAllocator& self = instance();
    const std::unique_lock lock(self.mutex_, std::try_to_lock);
    if (!lock || block->size > kMostKept || madvise(block->memory, block->size, MADV_FREE) != 0) {
      munmap(block->memory, block->size);
      return;
    }
    self.kept_.push_back(*block);
    self.kept_bytes_ += block->size;
    while (self.kept_bytes_ > kMostKept) {  // the one freed longest ago goes first
      munmap(self.kept_.front().memory, self.kept_.front().size);
      self.kept_bytes_ -= self.kept_.front().size;
      self.kept_.erase(self.kept_.begin());
    }
  }

  std::mutex mutex_;
  std::vector<Block> kept_;  // in the order they were freed
  size_t kept_bytes_ = 0;
};

}  // namespace

at::Tensor empty_output(at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (c10::multiply_integers(sizes) * options.dtype().itemsize() < kLarge) return at::empty(sizes, options);
  return at::detail::empty_generic(sizes, &KeepingAllocator::instance(), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                   c10::typeMetaToScalarType(options.dtype()), std::nullopt);
}
#else
at::Tensor empty_output(at::IntArrayRef sizes, const at::TensorOptions& options) { return at::empty(sizes, options); }
#endif

}  // namespace pc_ssl::cpu
