// SPDX-License-Identifier: Apache-2.0
// Memory of the simulated accelerator: files that the host maps too, so that both see every byte at once.
// Folder $COSYN_RTL_FOLDER holds memory<N>.bin and retirements.bin; the host makes them before the simulation starts.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct Mapping {
  uint8_t* base = nullptr;
  size_t size = 0;
  size_t channels = 1;
};

Mapping map_file(const std::string& name) {
  const char* folder = std::getenv("COSYN_RTL_FOLDER");
  const std::string path = std::string(folder ? folder : ".") + "/" + name;
  const int handle = open(path.c_str(), O_RDWR);
  struct stat status {};
  if (handle < 0 || fstat(handle, &status) != 0) {
    std::fprintf(stderr, "cosyn_memory: cannot open %s\n", path.c_str());
    std::exit(3);
  }
  void* base = mmap(nullptr, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
  close(handle);
  if (base == MAP_FAILED) {
    std::fprintf(stderr, "cosyn_memory: cannot map %s\n", path.c_str());
    std::exit(3);
  }
  return {static_cast<uint8_t*>(base), static_cast<size_t>(status.st_size), 1};
}

// Memory 2 c holds the data of core c as stripes, memory 2 c + 1 its program.
Mapping& memory(int number) {
  static std::vector<Mapping> all;
  if (number >= static_cast<int>(all.size())) all.resize(number + 1);
  Mapping& found = all[number];
  if (found.base == nullptr) {
    found = map_file("memory" + std::to_string(number) + ".bin");
    const char* channels = std::getenv("COSYN_RTL_CHANNELS");
    found.channels = number % 2 == 0 && channels != nullptr ? std::strtoul(channels, nullptr, 10) : 1;
  }
  return found;
}

uint8_t* locate(int number, int channel, int bytes, long long address) {
  Mapping& found = memory(number);
  const size_t stripe = static_cast<size_t>(address) / bytes;
  const size_t offset = (stripe * found.channels + channel) * bytes;
  return offset + bytes <= found.size ? found.base + offset : nullptr;
}

struct Retirement {
  uint32_t place;  // core * classes + class
  uint32_t digest;
  uint64_t cycle;
};

struct Write {
  uint32_t place, address, slot, unused;
  uint64_t mask, cycle;
  uint8_t data[64];
};

}  // namespace

extern "C" {

int cosyn_memory_read(int number, int channel, int bytes, long long address, uint32_t* data) {
  const uint8_t* from = locate(number, channel, bytes, address);
  if (from == nullptr) {
    std::memset(data, 0, bytes);
    return 1;
  }
  std::memcpy(data, from, bytes);
  return 0;
}

int cosyn_memory_write(int number, int channel, int bytes, long long address, const uint32_t* data,
                       const uint32_t* strobes) {
  uint8_t* to = locate(number, channel, bytes, address);
  if (to == nullptr) return 1;
  const uint8_t* from = reinterpret_cast<const uint8_t*>(data);
  for (int i = 0; i < bytes; ++i) {
    if (strobes[i / 32] >> (i % 32) & 1) to[i] = from[i];
  }
  return 0;
}

// Append one retirement: the file starts with the number of records, which the host sets back to 0.
void cosyn_retire(int place, int digest, long long cycle) {
  static Mapping file = map_file("retirements.bin");
  uint64_t* count = reinterpret_cast<uint64_t*>(file.base);
  const uint64_t index = (*count)++;
  const size_t offset = 16 + index * sizeof(Retirement);
  if (offset + sizeof(Retirement) > file.size) return;
  const Retirement record{static_cast<uint32_t>(place), static_cast<uint32_t>(digest), static_cast<uint64_t>(cycle)};
  std::memcpy(file.base + offset, &record, sizeof record);
}

// Append one write to a buffer, for explaining a difference.
void cosyn_trace_write(int place, int address, int slot, const uint32_t* data, long long mask, long long cycle) {
  static FILE* file = std::fopen("writes.bin", "wb");
  Write record{static_cast<uint32_t>(place), static_cast<uint32_t>(address), static_cast<uint32_t>(slot), 0,
               static_cast<uint64_t>(mask), static_cast<uint64_t>(cycle), {}};
  std::memcpy(record.data, data, sizeof record.data);
  std::fwrite(&record, sizeof record, 1, file);
  std::fflush(file);
}
}
