/* Stands in for NVIDIA's driver and run-time library where there is none: memory is the host's, kernels are not run
 * but written down. It lets a test see what the host side of an artifact would launch, and with what.
 * FAKE_CUDA_LOG names the file: one line per launch, `name gx gy gz bx by bz shared`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER(name) int name(void) { return 0; }

typedef struct {
  unsigned grid[3], block[3], shared;
  void *stream, *attributes;
  unsigned attribute_count;
} launch_config;

/* A module is machine code for a GPU: an ELF file for the machine EM_CUDA. Anything else is refused as the driver does. */
int cuModuleLoadData(const void **module, const unsigned char *image) {
  const int invalid_image = 200, em_cuda = 190;
  uint16_t machine;
  memcpy(&machine, image + 18, sizeof machine);
  if (memcmp(image, "\x7f" "ELF", 4) || machine != em_cuda) return invalid_image;
  *module = image;
  return 0;
}

int cuModuleGetFunction(char **function, const void *module, const char *name) {
  (void)module;
  *function = strdup(name);
  return 0;
}

int cuLaunchKernelEx(const launch_config *c, const char *function, void **arguments, void **extra) {
  (void)extra;
  FILE *log = fopen(getenv("FAKE_CUDA_LOG"), "a");
  if (!log || !arguments) return 1;
  fprintf(log, "%s %u %u %u %u %u %u %u\n", function, c->grid[0], c->grid[1], c->grid[2], c->block[0], c->block[1],
          c->block[2], c->shared);
  fclose(log);
  return 0;
}

static int named(const char **name) {
  *name = "an error of the stand-in";
  return 0;
}
int cuGetErrorName(int error, const char **name) { return (void)error, named(name); }
int cuGetErrorString(int error, const char **name) { return (void)error, named(name); }
int cuDeviceGetName(char *name, int size, int device) { return (void)device, snprintf(name, (size_t)size, "stand-in"), 0; }
const char *cudaGetErrorString(int error) { return (void)error, "an error of the stand-in"; }
const char *cudaGetErrorName(int error) { return (void)error, "an error of the stand-in"; }

int cudaMalloc(void **pointer, size_t bytes) { return (*pointer = aligned_alloc(256, (bytes + 255) / 256 * 256)) ? 0 : 2; }
int cudaMallocHost(void **pointer, size_t bytes) { return cudaMalloc(pointer, bytes); }
int cudaFree(void *pointer) { return free(pointer), 0; }
int cudaFreeHost(void *pointer) { return free(pointer), 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t bytes) { return memcpy(to, from, bytes), 0; }
int cudaGetDevice(int *device) { return *device = 0; }
int cudaGetDeviceCount(int *count) { return *count = 1, 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) { return (void)attribute, (void)device, *value = 1, 0; }
int cudaMemGetInfo(size_t *left, size_t *all) { return *left = *all = (size_t)1 << 30, 0; }

ANSWER(cuFuncSetAttribute) ANSWER(cuModuleUnload) ANSWER(cuTensorMapEncodeTiled)
ANSWER(cudaEventCreate) ANSWER(cudaEventDestroy) ANSWER(cudaEventElapsedTime) ANSWER(cudaEventRecord)
ANSWER(cudaEventSynchronize) ANSWER(cudaGetDeviceProperties) ANSWER(cudaGetLastError) ANSWER(cudaGraphDestroy)
ANSWER(cudaGraphExecDestroy) ANSWER(cudaGraphInstantiate) ANSWER(cudaGraphLaunch) ANSWER(cudaMemcpyPeerAsync)
ANSWER(cudaPeekAtLastError) ANSWER(cudaSetDevice) ANSWER(cudaStreamBeginCapture) ANSWER(cudaStreamCreate)
ANSWER(cudaStreamCreateWithFlags) ANSWER(cudaStreamDestroy) ANSWER(cudaStreamEndCapture)
ANSWER(cudaStreamSynchronize) ANSWER(cudaStreamWaitEvent)
