/* SPDX-License-Identifier: Apache-2.0 */
/* The part of an answer that a cache keeps, as bytes: classes and scores,
 * embedding, checks, sides. The neighbours are searched anew each time, since
 * the index changes. Stateless. */
#ifndef OLHO_APPS_ANSWER_PACK_H
#define OLHO_APPS_ANSWER_PACK_H

#include "apps/classify.h"

/* A text that differs when settings differ which change answers. */
void answer_stamp(const struct config *config, char out[HASH_HEX_LEN + 1]);

/* What decides the answer, as a key of the cache: the stamp, the version with
 * the size and time of its file, the image, top_k. */
void answer_key(const char *stamp, const struct model_version *version,
                const char *sha256, int top_k, char *out, size_t size);

/* Appends the answer; its embedding has embedding_len values or is NULL. */
void answer_pack(const struct answer *answer, int embedding_len,
                 struct buf *out);

/* Fills what compute_answer fills. False, *answer untouched, when the bytes
 * are not whole, do not fit the model or there is no memory: a cache outside
 * the process is not trusted. */
bool answer_unpack(struct bytes packed, const struct bundle *bundle, int top_k,
                   struct arena *arena, struct answer *answer);

#endif
