/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as the JSON of the collector API (contract: docs/api.md). Field
 * names are Portuguese because its clients are. Stateless. */
#ifndef OLHO_APPS_ANSWER_JSON_H
#define OLHO_APPS_ANSWER_JSON_H

#include "apps/classify.h"
#include "apps/items.h"
#include "base/json_write.h"

/* What is known of the items beside the index. All may be NULL. */
struct answer_items {
    struct items_view *view; /* held */
    struct blob *blob;       /* for foto_url */
    int url_expires_s;
};

/* Takes hold of the latest reading of the items. */
struct answer_items answer_items_begin(const struct app *app);
void answer_items_end(struct answer_items *items);

struct answer_style {
    bool with_embedding;
    float similar_min; /* least similarity of similar_items */
    struct answer_items items;
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
                         int count, double similar_min,
                         const struct answer_items *items);

/* The class as it is told: its label, or "Indefinido". */
const char *answer_class(const struct answer *answer);

/* The list of the best classes, the value of "top_k_predictions". */
void answer_write_top(struct json_writer *json, const struct answer *answer);

#endif
