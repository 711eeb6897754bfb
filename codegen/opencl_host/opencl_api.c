#define _GNU_SOURCE
#include "opencl_api.h"

#include <dlfcn.h>
#include <stdlib.h>

const char *opencl_load(opencl_api *api) {
  const char *chosen = getenv("COSYN_OPENCL_LIBRARY");
  const char *names[] = {chosen ? chosen : "libOpenCL.so.1", "libOpenCL.so", "/system/vendor/lib64/libOpenCL.so"};
  for (size_t i = 0; i < (chosen ? 1 : sizeof names / sizeof *names) && !api->library; i++)
    api->library = dlopen(names[i], RTLD_NOW);
  if (!api->library)
    return "no OpenCL library (libOpenCL.so.1): install a driver, on Debian for instance pocl-opencl-icd, "
           "or name one in COSYN_OPENCL_LIBRARY";
#define COSYN_OPENCL_BIND(name, result, parameters)             \
  if (!(*(void **)(&api->name) = dlsym(api->library, #name)))   \
    return "the OpenCL library lacks " #name ", expected OpenCL 1.2";
  COSYN_OPENCL_FUNCTIONS(COSYN_OPENCL_BIND)
  return NULL;
}
