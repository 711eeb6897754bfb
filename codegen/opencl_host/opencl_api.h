/* The part of OpenCL 1.2 that the host uses, bound at run time: no headers and no library are needed to compile. */
#ifndef COSYN_OPENCL_API_H
#define COSYN_OPENCL_API_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef cl_ulong cl_bitfield;
typedef struct _cl_platform_id *cl_platform_id;
typedef struct _cl_device_id *cl_device_id;
typedef struct _cl_context *cl_context;
typedef struct _cl_command_queue *cl_command_queue;
typedef struct _cl_mem *cl_mem;
typedef struct _cl_program *cl_program;
typedef struct _cl_kernel *cl_kernel;

enum {
  CL_SUCCESS = 0,
  CL_TRUE = 1,
  CL_DEVICE_TYPE_GPU = 1 << 2,
  CL_MEM_READ_WRITE = 1 << 0,
  CL_MEM_READ_ONLY = 1 << 2,
  CL_MEM_USE_HOST_PTR = 1 << 3,
  CL_MEM_COPY_HOST_PTR = 1 << 5,
  CL_DEVICE_TYPE = 0x1000,
  CL_DEVICE_MAX_WORK_GROUP_SIZE = 0x1004,
  CL_DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010,
  CL_DEVICE_NAME = 0x102B,
  CL_DEVICE_HOST_UNIFIED_MEMORY = 0x1035,
  CL_PROGRAM_BUILD_LOG = 0x1183
};

/* One line per function: name, result, parameters. Function pointers have these types and lie in `cl`. */
#define COSYN_OPENCL_FUNCTIONS(F)                                                                                    \
  F(clGetPlatformIDs, cl_int, (cl_uint, cl_platform_id *, cl_uint *))                                                \
  F(clGetDeviceIDs, cl_int, (cl_platform_id, cl_bitfield, cl_uint, cl_device_id *, cl_uint *))                       \
  F(clGetDeviceInfo, cl_int, (cl_device_id, cl_uint, size_t, void *, size_t *))                                      \
  F(clCreateContext, cl_context, (const intptr_t *, cl_uint, const cl_device_id *, void *, void *, cl_int *))        \
  F(clCreateCommandQueue, cl_command_queue, (cl_context, cl_device_id, cl_bitfield, cl_int *))                       \
  F(clCreateBuffer, cl_mem, (cl_context, cl_bitfield, size_t, void *, cl_int *))                                     \
  F(clCreateProgramWithSource, cl_program, (cl_context, cl_uint, const char **, const size_t *, cl_int *))           \
  F(clBuildProgram, cl_int, (cl_program, cl_uint, const cl_device_id *, const char *, void *, void *))               \
  F(clGetProgramBuildInfo, cl_int, (cl_program, cl_device_id, cl_uint, size_t, void *, size_t *))                    \
  F(clCreateKernel, cl_kernel, (cl_program, const char *, cl_int *))                                                 \
  F(clSetKernelArg, cl_int, (cl_kernel, cl_uint, size_t, const void *))                                              \
  F(clEnqueueNDRangeKernel, cl_int,                                                                                  \
    (cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint, const void *,    \
     void *))                                                                                                        \
  F(clEnqueueReadBuffer, cl_int,                                                                                     \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, void *, cl_uint, const void *, void *))                      \
  F(clEnqueueWriteBuffer, cl_int,                                                                                    \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, const void *, cl_uint, const void *, void *))                \
  F(clFinish, cl_int, (cl_command_queue))                                                                            \
  F(clReleaseMemObject, cl_int, (cl_mem))                                                                            \
  F(clReleaseKernel, cl_int, (cl_kernel))                                                                            \
  F(clReleaseProgram, cl_int, (cl_program))                                                                          \
  F(clReleaseCommandQueue, cl_int, (cl_command_queue))                                                               \
  F(clReleaseContext, cl_int, (cl_context))

#define COSYN_OPENCL_FIELD(name, result, parameters) result (*name) parameters;
typedef struct {
  void *library;
  COSYN_OPENCL_FUNCTIONS(COSYN_OPENCL_FIELD)
} opencl_api;

/* Bind the functions from `COSYN_OPENCL_LIBRARY`, else from the system's OpenCL loader. NULL, or what went wrong. */
const char *opencl_load(opencl_api *api);

#endif
