/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as the JSON of the collector API (contract: docs/api.md). Field
 * names are Portuguese because its clients are. Stateless. */
#ifndef OLHO_APPS_ANSWER_JSON_H
#define OLHO_APPS_ANSWER_JSON_H

#include "apps/classify.h"
#include "base/json_write.h"

struct answer_style {
    bool with_embedding;
    float similar_min;      /* least similarity of similar_items */
    const char *request_id; /* NULL: none */
    const char *file;       /* NULL: none */
};

/* The whole object of POST /api/classify. */
void answer_write(struct json_writer *json, const struct answer *answer,
                  const struct answer_style *style);

/* The members of one result of a batch, into an object that is open. */
void answer_write_brief(struct json_writer *json, const struct answer *answer,
                        bool with_embedding);

/* "similar_items": the hits of at least that similarity, 1 / (1 + distance).
 * Returns how many there are. */
int answer_write_similar(struct json_writer *json, const struct neighbour *hits,
                         int count, double similar_min);

#endif
