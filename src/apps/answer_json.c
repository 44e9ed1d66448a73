/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/answer_json.h"

#include <string.h>

#include "blob/blob.h"

static const char undefined_class[] = "Indefinido";

static const char *label_of(const struct answer *answer, int id)
{
    return answer->bundle->labels.names[id];
}

const char *answer_class(const struct answer *answer)
{
    return answer->is_undefined ? undefined_class
                                : label_of(answer, answer->top[0].id);
}

static void write_class(struct json_writer *json, const struct answer *answer)
{
    const struct bundle_class *best = &answer->top[0];

    json_key(json, "classe");
    json_put_text(json, answer_class(answer));
    json_key(json, "confianca");
    json_put_float(json, answer->is_undefined ? 0 : best->score);
    json_key(json, "classe_numerica");
    json_put_integer(json, answer->is_undefined ? -1 : best->id);
}

void answer_write_top(struct json_writer *json, const struct answer *answer)
{
    int i;

    json_array_begin(json);
    for (i = 0; i < answer->top_count; i++) {
        json_object_begin(json);
        json_key(json, "classe");
        json_put_text(json, label_of(answer, answer->top[i].id));
        json_key(json, "confianca");
        json_put_float(json, answer->top[i].score);
        json_object_end(json);
    }
    json_array_end(json);
}

static void write_top(struct json_writer *json, const struct answer *answer)
{
    json_key(json, "top_k_predictions");
    answer_write_top(json, answer);
}

static void write_embedding(struct json_writer *json,
                            const struct answer *answer)
{
    json_key(json, "embedding");
    if (answer->embedding == NULL)
        json_put_null(json);
    else
        json_put_floats(json, answer->embedding,
                        (size_t)answer->bundle->embedding_len);
}

static void write_neighbours(struct json_writer *json,
                             const struct answer *answer)
{
    int i;

    json_key(json, "semelhantes");
    json_array_begin(json);
    for (i = 0; !answer->is_undefined && i < answer->hit_count; i++) {
        json_object_begin(json);
        json_key(json, "item");
        json_put_text(json, answer->hits[i].path);
        json_key(json, "distancia");
        json_put_float(json, answer->hits[i].distance);
        json_object_end(json);
    }
    json_array_end(json);
}

/* An item is called by its label, else by the name of its file. */
static const char *name_of(const struct neighbour *item)
{
    const char *slash = strrchr(item->path, '/');

    if (item->label[0] != '\0')
        return item->label;
    return slash != NULL ? slash + 1 : item->path;
}

/* A link to the photo of an item, where the blob store can make one. */
static void write_photo(struct json_writer *json, const char *path,
                        const struct answer_items *items)
{
    struct err ignored = {0};
    char url[BLOB_URL_MAX];
    const char *key;

    json_key(json, "foto_url");
    if (items->blob != NULL && path[0] != '\0' &&
        blob_split(items->blob, path, &key, &ignored) == 0 &&
        blob_presign(items->blob, key, items->url_expires_s, url, sizeof url,
                     &ignored) == 0)
        json_put_text(json, url);
    else
        json_put_null(json);
}

static void write_item(struct json_writer *json, const struct neighbour *hit,
                       double similarity, const struct answer_items *items)
{
    const struct item *item =
        items->view != NULL ? items_find(items->view, hit) : NULL;

    json_object_begin(json);
    json_key(json, "item_id");
    json_put_integer(json, item != NULL ? item->item_id : hit->id);
    json_key(json, "nome");
    json_put_text(json, item != NULL && item->name[0] != '\0' ? item->name
                                                              : name_of(hit));
    json_key(json, "distancia");
    json_put_float(json, hit->distance);
    json_key(json, "confianca_similaridade");
    json_put_float(json, (float)similarity);
    write_photo(
        json, item != NULL && item->photo[0] != '\0' ? item->photo : hit->path,
        items);
    json_object_end(json);
}

/* An inner product of long vectors makes a distance below 0, which is no less
 * than equal. */
static double similarity_of(const struct neighbour *hit)
{
    return hit->distance > 0 ? 1.0 / (1.0 + (double)hit->distance) : 1;
}

int answer_write_similar(struct json_writer *json, const struct neighbour *hits,
                         int count, double similar_min,
                         const struct answer_items *items)
{
    int i, written = 0;

    json_key(json, "similar_items");
    json_array_begin(json);
    for (i = 0; i < count; i++) {
        double similarity = similarity_of(&hits[i]);

        if (similarity < similar_min)
            continue;
        write_item(json, &hits[i], similarity, items);
        written++;
    }
    json_array_end(json);
    return written;
}

struct answer_items answer_items_begin(const struct app *app)
{
    return (struct answer_items){
        .view = app->items != NULL ? items_acquire(app->items) : NULL,
        .blob = app->blob,
        .url_expires_s = (int)app->config->photo_url_expires_s,
    };
}

void answer_items_end(struct answer_items *items)
{
    items_release(items->view);
    items->view = NULL;
}

/* What the caller should know about an answer that stands all the same. */
static void write_warnings(struct json_writer *json,
                           const struct answer *answer)
{
    int i;

    json_key(json, "avisos");
    json_array_begin(json);
    for (i = 0; i < answer->checks.count; i++) {
        const struct check_warning *warning = &answer->checks.warnings[i];

        json_object_begin(json);
        json_key(json, "check");
        json_put_text(json, warning->check);
        json_key(json, "score");
        json_put_fixed(json, warning->score, 4);
        json_key(json, "limit");
        json_put_fixed(json, warning->limit, 4);
        json_key(json, "message");
        json_put_text(json, warning->message);
        json_object_end(json);
    }
    if (answer->index_error != NULL) {
        json_object_begin(json);
        json_key(json, "check");
        json_put_text(json, "index");
        json_key(json, "message");
        json_put_text(json, answer->index_error);
        json_object_end(json);
    }
    json_array_end(json);
}

void answer_write(struct json_writer *json, const struct answer *answer,
                  const struct answer_style *style)
{
    json_object_begin(json);
    if (style->file != NULL) {
        json_key(json, "file");
        json_put_text(json, style->file);
    }
    write_class(json, answer);
    write_top(json, answer);
    if (style->with_embedding)
        write_embedding(json, answer);
    write_neighbours(json, answer);
    answer_write_similar(json, answer->hits,
                         answer->is_undefined ? 0 : answer->hit_count,
                         style->similar_min, &style->items);
    json_key(json, "inference_time_ms");
    json_put_fixed(json, (double)answer->times.inference_us / 1000, 3);
    json_key(json, "model_version");
    json_put_text(json, answer->bundle->metadata.version);
    json_key(json, "aceito");
    json_put_bool(json, answer->is_accepted);
    write_warnings(json, answer);
    json_key(json, "cache");
    json_put_text(json, answer->is_cached ? "hit" : "miss");
    if (style->request_id != NULL) {
        json_key(json, "request_id");
        json_put_text(json, style->request_id);
    }
    json_object_end(json);
}

void answer_write_brief(struct json_writer *json, const struct answer *answer,
                        bool with_embedding)
{
    write_class(json, answer);
    if (answer->top_count > 1)
        write_top(json, answer);
    if (with_embedding)
        write_embedding(json, answer);
}
