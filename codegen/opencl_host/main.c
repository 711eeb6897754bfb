/* Continues a text greedily: `host FOLDER TOKEN… [--max-new-tokens N]` prints the ids of the new tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

static int32_t largest(const float *logits, int64_t count) {
  int64_t best = 0;
  for (int64_t i = 1; i < count; i++)
    if (logits[i] > logits[best]) best = i;
  return (int32_t)best;
}

/* One slot, positions from `past` on; the logits of the last token. */
static int process(model *m, state *s, const int32_t *ids, int64_t count, int64_t past, float *logits) {
  const int64_t chunk = cosyn_limits(m).max_chunk;
  int32_t *positions = calloc((size_t)chunk, sizeof *positions), *slots = calloc((size_t)chunk, sizeof *slots);
  int failed = !positions || !slots;
  for (int64_t done = 0; done < count && !failed;) {
    const int64_t now = count - done < chunk ? count - done : chunk;
    const int32_t last = (int32_t)(now - 1);
    for (int64_t i = 0; i < now; i++) positions[i] = (int32_t)(past + done + i);
    failed = cosyn_step(m, s, now, ids + done, positions, slots, 1, &last, logits);
    done += now;
  }
  free(positions);
  free(slots);
  return failed;
}

static int generate(model *m, int32_t *ids, int64_t count, int64_t wanted) {
  const limits most = cosyn_limits(m);
  int64_t *capacities = calloc((size_t)most.states + 1, sizeof *capacities);
  float *logits = calloc((size_t)most.vocab_size, sizeof *logits);
  if (!capacities || !logits) return 1;
  for (int64_t i = 0; i < most.states; i++) capacities[i] = cosyn_state_capacity(m, i, most.max_seq);
  state *s = cosyn_state_new(m, 1, capacities);
  int failed = !s || process(m, s, ids, count, 0, logits);
  for (int64_t made = 0; made < wanted && !failed; made++) {
    const int32_t token = largest(logits, most.vocab_size);
    if (cosyn_is_end(m, token)) break;
    printf(made ? " %d" : "%d", token);
    fflush(stdout);
    if (count + made >= most.max_seq) break;
    failed = made + 1 < wanted && process(m, s, &token, 1, count + made, logits);
  }
  printf("\n");
  cosyn_state_free(m, s);
  free(capacities);
  free(logits);
  return failed;
}

static int usage(const char *name, const char *problem) {
  fprintf(stderr, "%s\nusage: %s FOLDER TOKEN… [--max-new-tokens N]\n", problem, name);
  return 2;
}

/* A whole number of 0 or more, else -1. */
static int64_t number(const char *text) {
  char *end;
  const long long value = strtoll(text, &end, 10);
  return *text && !*end && value >= 0 ? value : -1;
}

/* Whether the ids are a prompt that the model takes; says why not. */
static const char *unfit(model *m, const int32_t *ids, int64_t count) {
  if (count > cosyn_limits(m).max_seq) return "the prompt is longer than the model's longest sequence";
  for (int64_t i = 0; i < count; i++)
    if (ids[i] >= cosyn_limits(m).vocab_size) return "a token id is beyond the vocabulary";
  return NULL;
}

int main(int argc, char **argv) {
  int32_t *ids = calloc((size_t)argc, sizeof *ids);
  int64_t count = 0, wanted = 64;
  if (!ids) return 1;
  for (int i = 2; i < argc; i++) {
    if (!strcmp(argv[i], "--max-new-tokens")) {
      if (i + 1 == argc || (wanted = number(argv[++i])) < 0) return usage(argv[0], "--max-new-tokens needs a number");
      continue;
    }
    const int64_t id = number(argv[i]);
    if (id < 0 || id > INT32_MAX) return usage(argv[0], "token ids are whole numbers");
    ids[count++] = (int32_t)id;
  }
  if (!count) return usage(argv[0], "expected a folder and at least one token id");
  char error[4096];
  model *m = cosyn_open(argv[1], error, sizeof error);
  if (!m) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  const char *problem = unfit(m, ids, count);
  if (problem) return usage(argv[0], problem);
  fprintf(stderr, "on %s\n", cosyn_device(m));
  const int failed = generate(m, ids, count, wanted);
  if (failed) fprintf(stderr, "%s\n", cosyn_error(m));
  cosyn_close(m);
  free(ids);
  return failed;
}
