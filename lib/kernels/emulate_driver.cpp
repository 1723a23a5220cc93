// A stand-in for libcuda.so.1 that runs the kernels in emulation, for tests of everything around them: what is asked of the driver, in what
// order, with which arguments. What is queued on a stream happens when somebody waits for it and not before, so that a missing wait shows; memory
// is full of rubbish when it is taken. EMULATE_GPUS: how many there are (1); nothing may be taken from one and used on another. EMULATE_MEMORY:
// bytes that each has. EMULATE_OLD=I: GPU I is too old. EMULATE_LOST=I: it is lost at the first wait after a kernel. EMULATE_NAMES=FILE: each kernel
// that is launched adds a line. Compiled by the tests of the programs.
#include "emulate.cpp"

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace {

typedef u64 Address;

enum Result { SUCCESS = 0, OUT_OF_MEMORY = 2, NOT_FOUND = 500, LAUNCH_FAILED = 719 };
enum Attribute { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

struct Gpu {
  int number;
  size_t taken_bytes = 0;
};

struct Kernel {
  std::string name;
  int arguments, shared_max;
  Gpu* gpu;
};

struct Stream {
  Gpu* gpu;
  std::deque<std::function<void()>> queue;
  bool kernels = false;
};

struct Taken {
  Gpu* gpu;
  size_t bytes;
};

// Never destroyed: a process may end while another thread works.
std::mutex& mutex = *new std::mutex;
Gpu gpus[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
std::map<Address, Taken>& taken = *new std::map<Address, Taken>;
// A context is its GPU.
thread_local Gpu* context = nullptr;

bool is(const char* variable, int number) {
  const char* value = std::getenv(variable);
  return value && std::atoi(value) == number;
}

void need(bool holds, const char* what) {
  if (!holds) emulate::fail(what);
}

// The array that an address is in must be of this GPU; with bytes, it must hold them.
void need_here(Address address, size_t bytes, const Gpu* gpu) {
  std::lock_guard<std::mutex> guard(mutex);
  auto after = taken.upper_bound(address);
  need(after != taken.begin(), "an address that was not taken");
  auto& [start, array] = *std::prev(after);
  need(address + bytes <= start + array.bytes, "a copy beyond an array");
  need(array.gpu == gpu && context == gpu, "an array of one GPU used on another");
}

// Parameters of an entry in PTX.
int parameters(const char* ptx, const std::string& name) {
  const char* start = std::strstr(ptx, (".entry " + name + "(").c_str());
  if (!start) return -1;
  std::string list(start, std::strchr(start, ')'));
  int count = 0;
  for (size_t at = 0; (at = list.find(".param", at)) != std::string::npos; at++) count++;
  return count;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 12040, SUCCESS; }
int cuDeviceGetCount(int* count) {
  const char* gpus = std::getenv("EMULATE_GPUS");
  return *count = gpus ? std::atoi(gpus) : 1, SUCCESS;
}
int cuDeviceGet(int* device, int index) { return *device = index, SUCCESS; }
int cuDeviceGetName(char* name, int size, int) { return std::snprintf(name, size, "Emulated GPU"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = 1 << 30, SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int gpu) {
  *value = attribute == CAPABILITY_MAJOR ? (is("EMULATE_OLD", gpu) ? 7 : 8) : attribute == CAPABILITY_MINOR ? 0 : 1;
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** found, int gpu) { return *found = &gpus[gpu], SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* one) { return context = static_cast<Gpu*>(one), SUCCESS; }
int cuCtxGetCurrent(void** found) { return *found = context, SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuGetErrorName(int error, const char** text) {
  *text = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : error == LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED" : "CUDA_ERROR_NOT_FOUND";
  return SUCCESS;
}
int cuGetErrorString(int error, const char** text) {
  *text = error == OUT_OF_MEMORY ? "out of memory" : error == LAUNCH_FAILED ? "unspecified launch failure" : "named symbol not found";
  return SUCCESS;
}

int cuModuleLoadData(void** module, const void* ptx) { return *module = strdup(static_cast<const char*>(ptx)), SUCCESS; }
int cuModuleUnload(void* module) { return std::free(module), SUCCESS; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
  int count = parameters(static_cast<const char*>(module), name);
  *function = new Kernel{name, count, 48 * 1024, context};
  return count < 0 ? NOT_FOUND : SUCCESS;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
  need(attribute == 8, "an attribute other than the shared memory");
  return static_cast<Kernel*>(function)->shared_max = value, SUCCESS;
}

int cuMemAlloc_v2(Address* address, size_t bytes) {
  need(context && bytes > 0, "memory without a context, or none");
  std::lock_guard<std::mutex> guard(mutex);
  const char* limit = std::getenv("EMULATE_MEMORY");
  if (limit && context->taken_bytes + bytes > std::strtoull(limit, nullptr, 10)) return OUT_OF_MEMORY;
  void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(memory, 0xab, bytes);
  *address = reinterpret_cast<Address>(memory);
  taken[*address] = {context, bytes};
  context->taken_bytes += bytes;
  return SUCCESS;
}
int cuMemFree_v2(Address address) {
  std::lock_guard<std::mutex> guard(mutex);
  need(taken.count(address), "memory that was not taken");
  need(taken[address].gpu == context, "memory of another GPU");
  context->taken_bytes -= taken[address].bytes;
  taken.erase(address);
  return std::free(reinterpret_cast<void*>(address)), SUCCESS;
}
int cuMemsetD8_v2(Address address, unsigned char value, size_t bytes) {
  return std::memset(reinterpret_cast<void*>(address), value, bytes), SUCCESS;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return *memory = std::malloc(bytes), SUCCESS; }
int cuMemFreeHost(void* memory) { return std::free(memory), SUCCESS; }

int cuStreamCreate(void** stream, unsigned) { return *stream = new Stream{context, {}}, SUCCESS; }
int cuStreamDestroy_v2(void* stream) {
  need(static_cast<Stream*>(stream)->queue.empty(), "a stream destroyed with work in it");
  return delete static_cast<Stream*>(stream), SUCCESS;
}
int cuStreamSynchronize(void* stream_) {
  Stream& stream = *static_cast<Stream*>(stream_);
  std::lock_guard<std::mutex> guard(mutex);
  if (stream.kernels && is("EMULATE_LOST", stream.gpu->number)) return stream.queue.clear(), LAUNCH_FAILED;
  for (; !stream.queue.empty(); stream.queue.pop_front()) stream.queue.front()();
  return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
  need_here(to, bytes, static_cast<Stream*>(stream)->gpu);
  static_cast<Stream*>(stream)->queue.push_back([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
  return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
  need_here(from, bytes, static_cast<Stream*>(stream)->gpu);
  static_cast<Stream*>(stream)->queue.push_back([=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
  return SUCCESS;
}
int cuLaunchKernel(void* function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned, unsigned shared, void* stream_,
                   void** arguments, void**) {
  Kernel kernel = *static_cast<Kernel*>(function);
  Stream& stream = *static_cast<Stream*>(stream_);
  need(context && static_cast<int>(shared) <= kernel.shared_max, "a launch without a context, or with more shared memory than was asked for");
  need(kernel.gpu == context && stream.gpu == context, "a kernel or a stream of one GPU used on another");
  if (const char* names = std::getenv("EMULATE_NAMES")) {
    std::lock_guard<std::mutex> guard(mutex);
    FILE* file = std::fopen(names, "a");
    std::fprintf(file, "%d\t%s\n", context->number, kernel.name.c_str());
    std::fclose(file);
  }
  std::vector<u64> values;
  // Arguments are read at the launch, 8 bytes of each: lib/gpu holds them so.
  for (int at = 0; at < kernel.arguments; at++) values.push_back(*static_cast<u64*>(arguments[at]));
  stream.kernels = true;
  stream.queue.push_back([=]() mutable {
    std::vector<void*> pointers;
    for (u64& value : values) pointers.push_back(&value);
    need(emulate_launch(kernel.name.c_str(), grid, block, shared, pointers.data(), false), "no such kernel");
  });
  return SUCCESS;
}

}  // extern "C"
