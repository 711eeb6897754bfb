/* A compiled language model on an OpenCL device: open a folder, make a state, take steps. */
#ifndef COSYN_HOST_H
#define COSYN_HOST_H

#include <stddef.h>
#include <stdint.h>

typedef struct model model;
typedef struct state state;

/* Open the artifact in `folder`; NULL with the reason in `error` (of `size` bytes). */
model *cosyn_open(const char *folder, char *error, size_t size);
void cosyn_close(model *m);

/* Why the last call failed. */
const char *cosyn_error(const model *m);
/* Name of the device that was chosen. */
const char *cosyn_device(const model *m);

/* KV caches for `slots` sequences; layer i holds `capacities[i]` positions. NULL where memory is short. */
state *cosyn_state_new(model *m, int64_t slots, const int64_t *capacities);
void cosyn_state_free(model *m, state *s);
/* Copy `bytes` at `offset` of tensor number `tensor` of the state, out or in. 0, or 1 for failure. */
int cosyn_state_read(model *m, state *s, int32_t tensor, size_t offset, size_t bytes, void *to);
int cosyn_state_write(model *m, state *s, int32_t tensor, size_t offset, size_t bytes, const void *from);

/* Process `seq` tokens, each with its position and slot, and write logits f32 [out, vocab] of the rows `out_rows`.
 * 0, or 1 for failure. Sizes beyond `cosyn_limits` are a failure. */
int cosyn_step(model *m, state *s, int64_t seq, const int32_t *token_ids, const int32_t *positions,
               const int32_t *slots, int64_t out, const int32_t *out_rows, float *logits);

typedef struct {
  int64_t max_seq, max_chunk, max_out, vocab_size, states;
} limits;
limits cosyn_limits(const model *m);
/* Positions that layer `index` must hold for sequences of up to `capacity` tokens: less where attention is windowed. */
int64_t cosyn_state_capacity(const model *m, int64_t index, int64_t capacity);
/* Whether `token` ends a text. */
int cosyn_is_end(const model *m, int32_t token);

#endif
