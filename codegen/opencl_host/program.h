/* The shape of the generated tables in program.c, and what their functions may call. */
#ifndef COSYN_PROGRAM_H
#define COSYN_PROGRAM_H

#include <stdint.h>

typedef struct run run;

enum memory_kind { ARENA, WEIGHT, STATE, INPUT, LOGITS };
enum input_kind { TOKEN_IDS, POSITIONS, SLOTS, OUT_ROWS };

/* A tensor that a kernel reads or writes: which memory, and where in it. */
typedef struct {
  enum memory_kind kind;
  int32_t index;
  int64_t offset;
} argument;

typedef struct {
  int (*call)(run *, const argument *);
  const argument *arguments;
} launch;

typedef struct {
  int64_t max_seq, max_out;
  const launch *launches;
  int64_t count;
} entry_point;

typedef struct {
  const char *name;
  int64_t nbytes;
  int64_t shape[4];
} weight;

/* One tensor of a KV state: [slots, heads, capacity(, width)]; `state` is the layer that it belongs to. */
typedef struct {
  int32_t state;
  int64_t heads, width, element_bytes;
} state_tensor;

typedef struct {
  int64_t window, sinks;
} state_layout;

extern const char *const kernel_names[];
extern const int32_t kernel_count;
extern const weight weights[];
extern const int32_t weight_count;
extern const state_tensor state_tensors[];
extern const int32_t state_tensor_count;
extern const state_layout state_layouts[];
extern const int32_t state_count;
extern const entry_point entry_points[]; /* ascending in max_seq */
extern const int32_t entry_point_count;
extern const int64_t arena_bytes, vocab_size, work_group_size;

/* Sizes of this step. */
int64_t tokens(const run *r);
int64_t rows_out(const run *r);
/* Extent of one axis of a weight or of a tensor of a state. */
int64_t extent(const run *r, const argument *a, int axis);

/* Launch a kernel: begin it, give its arguments in order, then the number of blocks and of threads per block. */
void begin(run *r, int32_t kernel);
void memory(run *r, const argument *a);
void scratch_memory(run *r, int32_t number);
void scalar32(run *r, int64_t value);
void scalar64(run *r, int64_t value);
int finish(run *r, int64_t gx, int64_t gy, int64_t gz, int64_t bx, int64_t by, int64_t bz);

/* Make scratch memory `number` at least `bytes` large; its content does not outlive the calling function. */
int scratch(run *r, int32_t number, int64_t bytes);

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
