/* Runs the launch list of program.c on an OpenCL device, over the arena that the memory plan laid out. */
#define _GNU_SOURCE
#include "host.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencl_api.h"
#include "program.h"

enum { INPUTS = 4, AXES = 3, MOST_END_TOKENS = 32, SCRATCHES = 32 };

struct model {
  opencl_api cl;
  cl_device_id device;
  cl_context context;
  cl_command_queue queue;
  cl_program program;
  cl_kernel *kernels;
  cl_mem arena, logits, inputs[INPUTS], *weights, scratch[SCRATCHES];
  int64_t scratch_bytes[SCRATCHES], max_seq, end_tokens[MOST_END_TOKENS], end_token_count;
  char *file;
  size_t file_bytes;
  char device_name[256], error[4096];
};

struct state {
  int64_t slots, *capacities;
  cl_mem *tensors;
};

struct run {
  model *model;
  state *state;
  int64_t seq, out;
  cl_kernel kernel;
  cl_uint next;
  cl_int status;
};

static int fail(model *m, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(m->error, sizeof m->error, format, arguments);
  va_end(arguments);
  return 1;
}

static int check(model *m, cl_int status, const char *call) {
  return status == CL_SUCCESS ? 0 : fail(m, "%s failed with OpenCL error %d on %s", call, status, m->device_name);
}

/* ---- what generated functions call ---- */

int64_t tokens(const run *r) { return r->seq; }
int64_t rows_out(const run *r) { return r->out; }

int64_t extent(const run *r, const argument *a, int axis) {
  if (a->kind == WEIGHT) return weights[a->index].shape[axis];
  const state_tensor *t = &state_tensors[a->index];
  const int64_t shape[] = {r->state->slots, t->heads, r->state->capacities[t->state], t->width};
  return shape[axis];
}

void begin(run *r, int32_t kernel) {
  r->kernel = r->model->kernels[kernel];
  r->next = 0;
}

static void set(run *r, size_t size, const void *value) {
  if (r->status == CL_SUCCESS) r->status = r->model->cl.clSetKernelArg(r->kernel, r->next++, size, value);
}

void memory(run *r, const argument *a) {
  const model *m = r->model;
  switch (a->kind) {
    case ARENA: set(r, sizeof(cl_mem), &m->arena); return;
    case WEIGHT: set(r, sizeof(cl_mem), &m->weights[a->index]); return;
    case STATE: set(r, sizeof(cl_mem), &r->state->tensors[a->index]); return;
    case INPUT: set(r, sizeof(cl_mem), &m->inputs[a->index]); return;
    case LOGITS: set(r, sizeof(cl_mem), &m->logits); return;
  }
}

void scratch_memory(run *r, int32_t number) { set(r, sizeof(cl_mem), &r->model->scratch[number]); }

void scalar32(run *r, int64_t value) {
  const int32_t narrow = (int32_t)value;
  set(r, sizeof narrow, &narrow);
}

void scalar64(run *r, int64_t value) { set(r, sizeof value, &value); }

int finish(run *r, int64_t gx, int64_t gy, int64_t gz, int64_t bx, int64_t by, int64_t bz) {
  const size_t local[AXES] = {(size_t)bx, (size_t)by, (size_t)bz};
  const size_t global[AXES] = {(size_t)(gx * bx), (size_t)(gy * by), (size_t)(gz * bz)};
  if (r->status == CL_SUCCESS)
    r->status = r->model->cl.clEnqueueNDRangeKernel(r->model->queue, r->kernel, AXES, NULL, global, local, 0, NULL, NULL);
  return r->status != CL_SUCCESS;
}

/* ---- opening ---- */

static void *device_info(model *m, cl_uint what, void *to, size_t size) {
  if (m->cl.clGetDeviceInfo(m->device, what, size, to, NULL) != CL_SUCCESS) memset(to, 0, size);
  return to;
}

/* The device COSYN_OPENCL_DEVICE counts over all platforms; else the first GPU, else the first device. */
static int choose_device(model *m) {
  enum { MOST = 16 };
  cl_platform_id platforms[MOST];
  cl_device_id found[MOST], devices[MOST * MOST];
  cl_uint platform_count = 0, count = 0;
  if (m->cl.clGetPlatformIDs(MOST, platforms, &platform_count) != CL_SUCCESS) platform_count = 0;
  for (cl_uint p = 0; p < platform_count && p < MOST; p++) {
    cl_uint here = 0;
    if (m->cl.clGetDeviceIDs(platforms[p], UINT32_MAX, MOST, found, &here) != CL_SUCCESS) continue;
    for (cl_uint i = 0; i < here && i < MOST; i++) devices[count++] = found[i];
  }
  if (!count) return fail(m, "OpenCL is installed, but it offers no device: install a driver for one");
  const char *wanted = getenv("COSYN_OPENCL_DEVICE");
  if (wanted && (cl_uint)atoi(wanted) >= count)
    return fail(m, "COSYN_OPENCL_DEVICE is %s, but there are %u devices, numbered from 0", wanted, count);
  m->device = devices[wanted ? atoi(wanted) : 0];
  for (cl_uint i = 0; i < count && !wanted; i++) {
    cl_device_id first = m->device;
    cl_bitfield type = 0;
    m->device = devices[i];
    device_info(m, CL_DEVICE_TYPE, &type, sizeof type);
    if (type & CL_DEVICE_TYPE_GPU) break;
    m->device = first;
  }
  device_info(m, CL_DEVICE_NAME, m->device_name, sizeof m->device_name - 1);
  return 0;
}

static int open_device(model *m) {
  const char *problem = opencl_load(&m->cl);
  if (problem) return fail(m, "%s", problem);
  if (choose_device(m)) return 1;
  size_t group = 0;
  device_info(m, CL_DEVICE_MAX_WORK_GROUP_SIZE, &group, sizeof group);
  if ((int64_t)group < work_group_size)
    return fail(m, "%s runs %zu threads per work group, the kernels need %lld: compile for a target with fewer",
                m->device_name, group, (long long)work_group_size);
  cl_int status;
  m->context = m->cl.clCreateContext(NULL, 1, &m->device, NULL, NULL, &status);
  if (check(m, status, "clCreateContext")) return 1;
  m->queue = m->cl.clCreateCommandQueue(m->context, m->device, 0, &status);
  return check(m, status, "clCreateCommandQueue");
}

static char *map_file(model *m, const char *folder, const char *name, size_t *bytes) {
  char path[4096];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  const int file = open(path, O_RDONLY);
  if (file < 0 || fstat(file, &info) || info.st_size == 0) {
    if (file >= 0) close(file);
    fail(m, "cannot read %s", path);
    return NULL;
  }
  /* Writable but private: OpenCL takes pointers to memory that may be written, and nothing may reach the file. */
  char *data = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  close(file);
  if (data == MAP_FAILED) {
    fail(m, "cannot map %s", path);
    return NULL;
  }
  *bytes = (size_t)info.st_size;
  return data;
}

static int build_kernels(model *m, const char *folder) {
  size_t bytes = 0;
  char *source = map_file(m, folder, "kernels.cl", &bytes);
  if (!source) return 1;
  cl_int status;
  m->program = m->cl.clCreateProgramWithSource(m->context, 1, (const char **)&source, &bytes, &status);
  munmap(source, bytes);
  if (check(m, status, "clCreateProgramWithSource")) return 1;
  if (m->cl.clBuildProgram(m->program, 1, &m->device, "", NULL, NULL) != CL_SUCCESS) {
    char log[3000] = "";
    m->cl.clGetProgramBuildInfo(m->program, m->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
    return fail(m, "%s cannot compile kernels.cl:\n%s", m->device_name, log);
  }
  m->kernels = calloc((size_t)kernel_count, sizeof *m->kernels);
  if (!m->kernels) return fail(m, "out of memory");
  for (int32_t i = 0; i < kernel_count; i++) {
    m->kernels[i] = m->cl.clCreateKernel(m->program, kernel_names[i], &status);
    if (check(m, status, kernel_names[i])) return 1;
  }
  return 0;
}

static cl_mem allocate(model *m, int64_t bytes, const char *what) {
  cl_ulong most = 0;
  device_info(m, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &most, sizeof most);
  if ((cl_ulong)bytes > most) {
    fail(m, "%s takes %lld bytes, %s allows %llu at once", what, (long long)bytes, m->device_name,
         (unsigned long long)most);
    return NULL;
  }
  cl_int status;
  cl_mem buffer = m->cl.clCreateBuffer(m->context, CL_MEM_READ_WRITE, (size_t)max64(bytes, 64), NULL, &status);
  return check(m, status, what) ? NULL : buffer;
}

/* Where a tensor lies in a safetensors file: its entry in the JSON header, which this project writes without spaces. */
static char *find_tensor(model *m, const weight *w) {
  uint64_t header = 0;
  char key[512];
  if (m->file_bytes >= 8) memcpy(&header, m->file, 8);
  if (header && header <= m->file_bytes - 8) {
    snprintf(key, sizeof key, "\"%s\":{", w->name);
    const char *text = m->file + 8, *end = text + header;
    const char *entry = memmem(text, header, key, strlen(key));
    const char *field = "\"data_offsets\":[";
    const char *offsets = entry ? memmem(entry, (size_t)(end - entry), field, strlen(field)) : NULL;
    if (offsets) {
      char *rest;
      const uint64_t first = strtoull(offsets + strlen(field), &rest, 10), last = strtoull(rest + 1, NULL, 10);
      if (last - first == (uint64_t)w->nbytes && last <= m->file_bytes - 8 - header) return m->file + 8 + header + first;
    }
  }
  fail(m, "weights.safetensors does not hold %s with %lld bytes", w->name, (long long)w->nbytes);
  return NULL;
}

static int load_weights(model *m, const char *folder) {
  m->file = map_file(m, folder, "weights.safetensors", &m->file_bytes);
  m->weights = calloc((size_t)max64(weight_count, 1), sizeof *m->weights);
  if (!m->file || !m->weights) return 1;
  cl_uint shared = 0;
  device_info(m, CL_DEVICE_HOST_UNIFIED_MEMORY, &shared, sizeof shared);
  const cl_bitfield flags = CL_MEM_READ_ONLY | (shared ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR);
  for (int32_t i = 0; i < weight_count; i++) {
    char *data = find_tensor(m, &weights[i]);
    if (!data) return 1;
    cl_int status;
    m->weights[i] = m->cl.clCreateBuffer(m->context, flags, (size_t)weights[i].nbytes, data, &status);
    if (check(m, status, weights[i].name)) return 1;
  }
  return 0;
}

/* The integers after `key` in the manifest's `model`: one, or a list. Their number, 0 where there are none. */
static int64_t model_integers(const char *manifest, size_t bytes, const char *key, int64_t *values, int64_t most) {
  const char *end = manifest + bytes, *model_key = "\"model\"";
  const char *at = memmem(manifest, bytes, model_key, strlen(model_key));
  at = at ? memmem(at, (size_t)(end - at), key, strlen(key)) : NULL;
  if (!at) return 0;
  at += strlen(key);
  int64_t count = 0;
  const char *list = at + strspn(at, "\": \n\r\t");
  const int many = *list == '[';
  for (at = list + many; count < most && at < end;) {
    at += strspn(at, " ,\n\r\t");
    char *rest;
    const long long value = strtoll(at, &rest, 10);
    if (rest == at) break;
    values[count++] = value;
    at = rest;
    if (!many) break;
  }
  return count;
}

static int read_manifest(model *m, const char *folder) {
  size_t bytes = 0;
  char *text = map_file(m, folder, "manifest.json", &bytes);
  if (!text) return 1;
  m->end_token_count = model_integers(text, bytes, "\"eos_token_ids\"", m->end_tokens, MOST_END_TOKENS);
  const int64_t found = model_integers(text, bytes, "\"max_seq\"", &m->max_seq, 1);
  munmap(text, bytes);
  return found ? 0 : fail(m, "manifest.json does not say the model's max_seq");
}

static int allocate_values(model *m) {
  const entry_point *last = &entry_points[entry_point_count - 1];
  m->arena = allocate(m, arena_bytes, "the arena");
  m->logits = allocate(m, last->max_out * vocab_size * (int64_t)sizeof(float), "the logits");
  for (int i = 0; i < INPUTS; i++) {
    m->inputs[i] = allocate(m, (i == OUT_ROWS ? last->max_out : last->max_seq) * (int64_t)sizeof(int32_t), "the inputs");
    if (!m->inputs[i]) return 1;
  }
  return !m->arena || !m->logits;
}

model *cosyn_open(const char *folder, char *error, size_t size) {
  model *m = calloc(1, sizeof *m);
  if (!m) {
    snprintf(error, size, "out of memory");
    return NULL;
  }
  if (read_manifest(m, folder) || open_device(m) || build_kernels(m, folder) || load_weights(m, folder) || allocate_values(m)) {
    snprintf(error, size, "%s", m->error);
    cosyn_close(m);
    return NULL;
  }
  return m;
}

static void release(model *m, cl_mem buffer) {
  if (buffer) m->cl.clReleaseMemObject(buffer);
}

void cosyn_close(model *m) {
  if (!m) return;
  if (m->queue) m->cl.clFinish(m->queue);
  for (int32_t i = 0; m->kernels && i < kernel_count; i++)
    if (m->kernels[i]) m->cl.clReleaseKernel(m->kernels[i]);
  for (int32_t i = 0; m->weights && i < weight_count; i++) release(m, m->weights[i]);
  for (int i = 0; i < INPUTS; i++) release(m, m->inputs[i]);
  for (int i = 0; i < SCRATCHES; i++) release(m, m->scratch[i]);
  release(m, m->arena);
  release(m, m->logits);
  if (m->program) m->cl.clReleaseProgram(m->program);
  if (m->queue) m->cl.clReleaseCommandQueue(m->queue);
  if (m->context) m->cl.clReleaseContext(m->context);
  if (m->file) munmap(m->file, m->file_bytes);
  free(m->kernels);
  free(m->weights);
  free(m);
}

const char *cosyn_error(const model *m) { return m->error; }
const char *cosyn_device(const model *m) { return m->device_name; }

/* ---- states and steps ---- */

int scratch(run *r, int32_t number, int64_t bytes) {
  model *m = r->model;
  if (number >= SCRATCHES) return fail(m, "a function asks for more than %d scratch buffers", SCRATCHES);
  if (m->scratch_bytes[number] >= bytes) return 0;
  release(m, m->scratch[number]);
  m->scratch[number] = allocate(m, bytes, "scratch memory");
  m->scratch_bytes[number] = m->scratch[number] ? bytes : 0;
  return !m->scratch[number];
}

static int64_t tensor_bytes(const state *s, const state_tensor *t) {
  return s->slots * t->heads * s->capacities[t->state] * t->width * t->element_bytes;
}

state *cosyn_state_new(model *m, int64_t slots, const int64_t *capacities) {
  state *s = calloc(1, sizeof *s);
  if (s) s->capacities = calloc((size_t)max64(state_count, 1), sizeof *s->capacities);
  if (s) s->tensors = calloc((size_t)max64(state_tensor_count, 1), sizeof *s->tensors);
  if (!s || !s->capacities || !s->tensors) {
    fail(m, "out of memory");
    cosyn_state_free(m, s);
    return NULL;
  }
  s->slots = slots;
  memcpy(s->capacities, capacities, (size_t)state_count * sizeof *capacities);
  for (int32_t i = 0; i < state_tensor_count; i++) {
    s->tensors[i] = allocate(m, tensor_bytes(s, &state_tensors[i]), "a KV cache");
    if (!s->tensors[i]) {
      cosyn_state_free(m, s);
      return NULL;
    }
  }
  return s;
}

void cosyn_state_free(model *m, state *s) {
  if (!s) return;
  for (int32_t i = 0; s->tensors && i < state_tensor_count; i++) release(m, s->tensors[i]);
  free(s->tensors);
  free(s->capacities);
  free(s);
}

static int outside(model *m, const state *s, int32_t tensor, size_t offset, size_t bytes) {
  if (tensor < 0 || tensor >= state_tensor_count) return fail(m, "a state has %d tensors", state_tensor_count);
  const size_t size = (size_t)tensor_bytes(s, &state_tensors[tensor]);
  return offset + bytes > size ? fail(m, "bytes %zu to %zu of a tensor of %zu", offset, offset + bytes, size) : 0;
}

int cosyn_state_read(model *m, state *s, int32_t tensor, size_t offset, size_t bytes, void *to) {
  if (outside(m, s, tensor, offset, bytes)) return 1;
  return check(m, m->cl.clEnqueueReadBuffer(m->queue, s->tensors[tensor], CL_TRUE, offset, bytes, to, 0, NULL, NULL),
               "clEnqueueReadBuffer");
}

int cosyn_state_write(model *m, state *s, int32_t tensor, size_t offset, size_t bytes, const void *from) {
  if (outside(m, s, tensor, offset, bytes)) return 1;
  return check(m, m->cl.clEnqueueWriteBuffer(m->queue, s->tensors[tensor], CL_TRUE, offset, bytes, from, 0, NULL, NULL),
               "clEnqueueWriteBuffer");
}

static int put_input(model *m, enum input_kind input, const int32_t *values, int64_t count) {
  const size_t bytes = (size_t)count * sizeof *values;
  return check(m, m->cl.clEnqueueWriteBuffer(m->queue, m->inputs[input], CL_TRUE, 0, bytes, values, 0, NULL, NULL),
               "clEnqueueWriteBuffer");
}

int cosyn_step(model *m, state *s, int64_t seq, const int32_t *token_ids, const int32_t *positions,
               const int32_t *slots, int64_t out, const int32_t *out_rows, float *logits) {
  const entry_point *entry = NULL;
  for (int32_t i = 0; i < entry_point_count && !entry; i++)
    if (seq <= entry_points[i].max_seq && out <= entry_points[i].max_out) entry = &entry_points[i];
  if (!entry || seq < 1 || out < 1)
    return fail(m, "a step takes 1 to %lld tokens and gives 1 to %lld rows, asked for %lld and %lld",
                (long long)cosyn_limits(m).max_chunk, (long long)cosyn_limits(m).max_out, (long long)seq, (long long)out);
  if (put_input(m, TOKEN_IDS, token_ids, seq) || put_input(m, POSITIONS, positions, seq) ||
      put_input(m, SLOTS, slots, seq) || put_input(m, OUT_ROWS, out_rows, out))
    return 1;
  run r = {.model = m, .state = s, .seq = seq, .out = out};
  for (int64_t i = 0; i < entry->count; i++)
    if (entry->launches[i].call(&r, entry->launches[i].arguments))
      return r.status == CL_SUCCESS ? 1 : fail(m, "launch %lld of the step failed with OpenCL error %d on %s",
                                               (long long)i, r.status, m->device_name);
  const size_t bytes = (size_t)(out * vocab_size) * sizeof(float);
  return check(m, m->cl.clEnqueueReadBuffer(m->queue, m->logits, CL_TRUE, 0, bytes, logits, 0, NULL, NULL),
               "clEnqueueReadBuffer");
}

limits cosyn_limits(const model *m) {
  const entry_point *last = &entry_points[entry_point_count - 1];
  return (limits){m->max_seq, last->max_seq, last->max_out, vocab_size, state_count};
}

int64_t cosyn_state_capacity(const model *m, int64_t index, int64_t capacity) {
  const state_layout *layout = &state_layouts[index];
  if (!layout->window) return capacity;
  return min64(capacity, layout->window + cosyn_limits(m).max_chunk - 1 + layout->sinks);
}

int cosyn_is_end(const model *m, int32_t token) {
  for (int64_t i = 0; i < m->end_token_count; i++)
    if (m->end_tokens[i] == token) return 1;
  return 0;
}
