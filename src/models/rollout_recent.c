/* SPDX-License-Identifier: Apache-2.0 */
#include "models/rollout_recent.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct rollout_recent {
    int count_max, count;
    int oldest; /* of the ring once it is full */
    struct rollout_recent_entry *entries;
    int *chains; /* count_max of them: the first entry of each, or -1 */
};

int rollout_recent_new(int count_max, struct rollout_recent **out,
                       struct err *err)
{
    struct rollout_recent *recent = mem_new(sizeof *recent);
    size_t room = count_max > 0 ? (size_t)count_max : 1;
    int i;

    assert(count_max >= 0 && count_max <= ROLLOUT_RECENT_MAX);
    recent->count_max = count_max;
    recent->entries = mem_try(room, sizeof *recent->entries);
    recent->chains = mem_try(room, sizeof *recent->chains);
    if (recent->entries == NULL || recent->chains == NULL) {
        rollout_recent_free(recent);
        return err_set(err, ERR_UNAVAILABLE, "no memory to remember %d answers",
                       count_max);
    }
    for (i = 0; i < count_max; i++)
        recent->chains[i] = -1;
    *out = recent;
    return 0;
}

void rollout_recent_free(struct rollout_recent *recent)
{
    if (recent == NULL)
        return;
    mem_free(recent->entries);
    mem_free(recent->chains);
    mem_free(recent);
}

/* Clients may choose their request ids. With SHA-256 they cannot choose ids
 * that all fall into one chain. */
static int *find_chain(struct rollout_recent *recent, const char *request_id)
{
    uint8_t sum[HASH_SHA256_LEN];
    uint64_t value;

    hash_sha256(bytes_of_text(request_id), sum);
    memcpy(&value, sum, sizeof value);
    return &recent->chains[value % (uint64_t)recent->count_max];
}

/* The entry that makes room, out of its chain. */
static struct rollout_recent_entry *take_oldest(struct rollout_recent *recent)
{
    struct rollout_recent_entry *entry = &recent->entries[recent->oldest];
    int *link = find_chain(recent, entry->request_id);

    while (*link != recent->oldest)
        link = &recent->entries[*link].next;
    *link = entry->next;
    recent->oldest = (recent->oldest + 1) % recent->count_max;
    return entry;
}

static struct rollout_recent_entry *add_entry(struct rollout_recent *recent,
                                              const char *request_id)
{
    struct rollout_recent_entry *entry = recent->count < recent->count_max
                                             ? &recent->entries[recent->count++]
                                             : take_oldest(recent);
    int *chain = find_chain(recent, request_id);

    *entry = (struct rollout_recent_entry){.serving = {.arm = -1, .judged = -1},
                                           .shadow = {.arm = -1, .judged = -1},
                                           .next = *chain};
    snprintf(entry->request_id, sizeof entry->request_id, "%s", request_id);
    *chain = (int)(entry - recent->entries);
    return entry;
}

void rollout_recent_add(struct rollout_recent *recent, const char *request_id,
                        int arm, bool is_shadow, const char *class_name)
{
    struct rollout_recent_entry *entry;
    struct rollout_recent_answer *answer;

    if (recent->count_max == 0 || strlen(request_id) >= ROLLOUT_REQUEST_MAX)
        return;
    entry = rollout_recent_find(recent, request_id);
    if (entry == NULL)
        entry = add_entry(recent, request_id);
    else if (!is_shadow && entry->serving.arm >= 0)
        entry->shadow = (struct rollout_recent_answer){.arm = -1, .judged = -1};
    answer = is_shadow ? &entry->shadow : &entry->serving;
    *answer = (struct rollout_recent_answer){.arm = arm, .judged = -1};
    snprintf(answer->class_name, sizeof answer->class_name, "%s", class_name);
}

struct rollout_recent_entry *rollout_recent_find(struct rollout_recent *recent,
                                                 const char *request_id)
{
    int i;

    if (recent->count_max == 0 || strlen(request_id) >= ROLLOUT_REQUEST_MAX)
        return NULL;
    for (i = *find_chain(recent, request_id); i >= 0;
         i = recent->entries[i].next)
        if (strcmp(recent->entries[i].request_id, request_id) == 0)
            return &recent->entries[i];
    return NULL;
}

void rollout_recent_forget(struct rollout_recent *recent, int arm)
{
    int i;

    for (i = 0; i < recent->count; i++) {
        if (recent->entries[i].serving.arm == arm)
            recent->entries[i].serving.arm = -1;
        if (recent->entries[i].shadow.arm == arm)
            recent->entries[i].shadow.arm = -1;
    }
}
