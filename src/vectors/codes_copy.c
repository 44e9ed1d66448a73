/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of rows that lie one behind the other. With float32 the copy is the
 * row itself, and its distances are exact. */
#include <math.h>
#include <string.h>

#include "vectors/codes_parts.h"

void codes_shape(const struct codes *codes, struct codes_shape *out)
{
    out->code_len = codes->stride > 0
                        ? codes->stride
                        : (size_t)codes->options.dim * sizeof(float);
    out->about_len = sizeof(struct code_row);
}

void codes_copy(const struct codes *codes, int64_t slot, void *code,
                void *about)
{
    struct codes_shape shape;
    const float *const *row = blocks_at(&codes->rows, slot);

    codes_shape(codes, &shape);
    memcpy(code,
           codes->stride > 0 ? blocks_at(&codes->codes, slot)
                             : (const void *)*row,
           shape.code_len);
    memcpy(about, codes_about(codes, slot), shape.about_len);
}

int64_t codes_piece(const struct codes *codes, int64_t slot, int64_t end,
                    const void **code, const void **about)
{
    const float *const *row = blocks_at(&codes->rows, slot);
    int64_t run = blocks_run(slot), count;

    if (run > end - slot)
        run = end - slot;
    *about = codes_about(codes, slot);
    *code =
        codes->stride > 0 ? blocks_at(&codes->codes, slot) : (const void *)*row;
    for (count = 1; codes->stride == 0 && count < run; count++)
        if (row[count] != row[0] + count * codes->options.dim)
            return count;
    return run;
}

static void run_float(const struct codes *codes,
                      const struct codes_query *query, const void *code,
                      const struct code_row *about, int count, float *out)
{
    const float *rows[CODES_RUN_LEN], *first = code;
    int dim = codes->options.dim, i;

    for (i = 0; i < count; i++)
        rows[i] = first + (int64_t)i * dim;
    if (codes_is_l2(codes)) {
        codes->dot->square(query->vector, rows, count, dim, out);
        return;
    }
    codes->dot->inner(query->vector, rows, count, dim, out);
    for (i = 0; i < count; i++)
        out[i] = codes->options.metric == VECINDEX_COSINE
                     ? -out[i] * query->unit_scale * about[i].len
                     : -out[i];
}

/* The angle is left out of what a distance may be off by: it costs more here
 * than it tells. */
static void run_codes(const struct codes *codes,
                      const struct codes_query *query, const void *code,
                      const struct code_row *about, int count, float *out,
                      float *errors)
{
    const void *rows[CODES_RUN_LEN];
    float gaps = (codes_is_l2(codes) ? 2 : 1) * query->code_len;
    float inner[CODES_RUN_LEN];
    int quarter = (count + CODES_STREAMS - 1) / CODES_STREAMS, len = 0, i, j;

    /* From four streams, as in codes_scan.c. */
    for (i = 0; i < quarter; i++)
        for (j = i; j < count; j += quarter)
            rows[len++] = (const uint8_t *)code + (size_t)j * codes->stride;
    codes_inner(codes, query, rows, count, inner);
    for (i = 0, len = 0; i < quarter; i++)
        for (j = i; j < count; j += quarter)
            out[j] = inner[len++];
    for (i = 0; i < count; i++) {
        out[i] = codes_middle(codes, query, &about[i], out[i] * about[i].scale);
        errors[i] = codes_slack(codes, query, &about[i]) + gaps * about[i].gap;
    }
}

void codes_run(const struct codes *codes, const struct codes_query *query,
               const void *code, const void *about, int count, float *out,
               float *errors)
{
    struct codes_shape shape;
    int done, part;

    codes_shape(codes, &shape);
    for (done = 0; done < count; done += part) {
        const void *codes_at =
            (const uint8_t *)code + (size_t)done * shape.code_len;
        const struct code_row *about_at = (const struct code_row *)about + done;

        part = count - done < CODES_RUN_LEN ? count - done : CODES_RUN_LEN;
        if (codes->stride > 0) {
            run_codes(codes, query, codes_at, about_at, part, out + done,
                      errors + done);
            continue;
        }
        run_float(codes, query, codes_at, about_at, part, out + done);
        memset(errors + done, 0, (size_t)part * sizeof *errors);
    }
}
