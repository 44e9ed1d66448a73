/* SPDX-License-Identifier: Apache-2.0 */
/* `olho index search`: the nearest of images or of vectors, in a set of
 * vectors or in a file of FAISS or numpy. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/images.h"
#include "cmd/names.h"
#include "cmd/progress.h"
#include "cmd/tags.h"
#include "cmd/target.h"
#include "cmd/terminal.h"
#include "cmd/vec_lines.h"
#include "models/shelf.h"

enum { K = 10, LINE_LEN_MAX = 256 << 20, ARENA_LEN_MAX = 256 << 20 };

struct search {
    const struct arguments *arguments;
    struct target target;
    struct vecindex *index; /* of a foreign file; NULL: target.store */
    enum vecindex_metric metric;
    const char *type; /* "HNSW" */
    struct vec_query query;
    struct vec_filter filter;
    struct arena *flags; /* of the filter */
    struct arena *arena; /* of one answer */
    bool is_json;
    int failed_count;
};

/* What is looked for: an image by its file, a vector by its number. */
struct subject {
    const char *name; /* NULL: number */
    int64_t number;
};

/* --- printing ------------------------------------------------------------- */

static void put_hit(struct json_writer *json, const struct vec_hit *hit)
{
    json_object_begin(json);
    json_key(json, "id");
    json_put_integer(json, hit->id);
    json_key(json, "distance");
    json_put_float(json, hit->distance);
    if (hit->key[0] != '\0') {
        json_key(json, "key");
        json_put_text(json, hit->key);
    }
    if (hit->path[0] != '\0') {
        json_key(json, "path");
        json_put_text(json, hit->path);
    }
    if (hit->tag_count > 0) {
        json_key(json, "tags");
        vec_tags_write(json, hit);
    }
    json_object_end(json);
}

static int print_json(const struct search *search,
                      const struct subject *subject,
                      const struct vec_hits *hits, struct err *err)
{
    struct json_writer json;
    struct buf line;
    int i, rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "query");
    if (subject->name != NULL)
        json_put_text(&json, subject->name);
    else
        json_put_integer(&json, subject->number);
    json_key(&json, "exact");
    json_put_bool(&json, hits->is_exact);
    json_key(&json, "index_type");
    json_put_text(&json, search->type);
    json_key(&json, "metric");
    json_put_text(&json, vecindex_metric_name(search->metric));
    json_key(&json, "neighbours");
    json_array_begin(&json);
    for (i = 0; i < hits->count; i++)
        put_hit(&json, &hits->list[i]);
    json_array_end(&json);
    json_object_end(&json);
    buf_add_char(&line, '\n');
    rc = buf_check(&line, err);
    if (rc == 0)
        fwrite(line.data, 1, line.len, stdout);
    buf_release(&line);
    return rc;
}

static void print_tags(const struct vec_hit *hit)
{
    int i;

    for (i = 0; i < hit->tag_count; i++)
        printf("  %s=%s", hit->tags[i].name, hit->tags[i].value);
}

static void print_text(const struct search *search,
                       const struct subject *subject,
                       const struct vec_hits *hits)
{
    char number[32], how[64];
    int i;

    snprintf(number, sizeof number, "vector %lld", (long long)subject->number);
    snprintf(how, sizeof how, "  %s (%s, %s)\n",
             hits->is_exact ? "exact" : "approximate", search->type,
             search->metric == VECINDEX_L2
                 ? "squared distance"
                 : vecindex_metric_name(search->metric));
    terminal_bold(subject->name != NULL ? subject->name : number);
    terminal_dim(how);
    for (i = 0; i < hits->count; i++) {
        const struct vec_hit *hit = &hits->list[i];

        printf("  %10.6f  %8lld  %s", (double)hit->distance, (long long)hit->id,
               hit->path);
        print_tags(hit);
        printf("\n");
    }
}

/* --- searching ------------------------------------------------------------ */

/* The hits of a file of FAISS as those of a set, which have texts besides. */
static int search_index(struct search *search, const struct vec_query *query,
                        struct vec_hits *out, struct err *err)
{
    const struct vecindex_query wanted = {.vector = query->vector,
                                          .dim = query->dim,
                                          .k = query->k,
                                          .nprobe = query->nprobe,
                                          .ef_search = query->ef_search,
                                          .is_exact = query->is_exact};
    struct vecindex_hit *hits =
        arena_try(search->arena, (size_t)query->k, sizeof *hits);
    struct vec_hit *list =
        arena_try(search->arena, (size_t)query->k, sizeof *list);
    bool is_l2 = search->metric == VECINDEX_L2;
    int i, count = 0, rc;

    if (hits == NULL || list == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d hits", query->k);
    rc = vecindex_search(search->index, &wanted, hits, &count, &out->is_exact,
                         err);
    out->count = 0;
    for (i = 0; rc == 0 && i < count; i++) {
        bool is_near = is_l2 ? hits[i].distance <= query->radius
                             : hits[i].distance >= query->radius;

        if (query->has_radius && !is_near)
            break;
        list[out->count++] = (struct vec_hit){.id = hits[i].id,
                                              .distance = hits[i].distance,
                                              .key = "",
                                              .path = ""};
    }
    out->list = list;
    return rc;
}

static int search_one(struct search *search, const struct subject *subject,
                      const float *vector, int dim, struct err *err)
{
    struct vec_query query = search->query;
    struct vec_hits hits;
    int rc;

    arena_reset(search->arena);
    query.vector = vector;
    query.dim = dim;
    rc = search->index != NULL ? search_index(search, &query, &hits, err)
                               : vecstore_search(search->target.store, &query,
                                                 search->arena, &hits, err);
    if (rc)
        return rc;
    terminal_progress_end();
    if (search->is_json)
        return print_json(search, subject, &hits, err);
    print_text(search, subject, &hits);
    return 0;
}

static int take_image(void *user, const struct image_result *result,
                      struct err *err)
{
    struct search *search = user;
    struct subject subject = {.name = result->path};
    int rc = progress_go_on(err);

    if (rc)
        return rc;
    if (result->err.code == ERR_OK && result->answer.embedding == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model gives no embedding to search with");
    if (result->err.code == ERR_OK)
        return search_one(search, &subject, result->answer.embedding,
                          search->target.version->bundle->embedding_len, err);
    terminal_progress_end();
    fprintf(stderr, "olho: %s: %s\n", result->path, result->err.text);
    search->failed_count++;
    return 0;
}

static int search_matrix(struct search *search, const char *path,
                         struct err *err)
{
    struct npy_matrix queries = {0};
    int rc = npy_read_matrix(path, &queries, err);
    int64_t i;

    for (i = 0; rc == 0 && i < queries.row_count; i++) {
        struct subject subject = {.number = i};

        rc = progress_go_on(err);
        if (rc == 0)
            rc = search_one(search, &subject, queries.rows + i * queries.dim,
                            queries.dim, err);
        if (rc)
            err_wrap(err, "vector %lld", (long long)i);
    }
    npy_matrix_release(&queries);
    return rc;
}

/* A line is an object as they are added, or the bare array of a vector. */
static int search_line(struct search *search, struct bytes text,
                       struct arena *arena, int64_t number, struct err *err)
{
    struct subject subject = {.number = number};
    struct vec_line line;
    struct buf wrapped;
    size_t blank = 0;
    int rc = 0;

    arena_reset(arena);
    buf_init(&wrapped, VEC_LINE_LEN_MAX + 32);
    while (blank < text.len && strchr(" \t", text.data[blank]) != NULL)
        blank++;
    if (blank < text.len && text.data[blank] == '[') {
        buf_add_text(&wrapped, "{\"vector\":");
        buf_add(&wrapped, text.data, text.len);
        buf_add_char(&wrapped, '}');
        rc = buf_check(&wrapped, err);
        text = buf_bytes(&wrapped);
    }
    if (rc == 0)
        rc = vec_line_parse(text, arena, &line, err);
    if (rc == 0)
        rc = search_one(search, &subject, line.entry.vector, line.dim, err);
    buf_release(&wrapped);
    return rc;
}

static int search_lines(struct search *search, const char *path,
                        struct err *err)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct line_reader *reader = NULL;
    int64_t number = 1;
    struct bytes text;
    int rc = line_reader_open(path, &reader, err);

    while (rc == 0 && number != 0) {
        rc = line_reader_next(reader, &text, &number, err);
        if (rc == 0)
            rc = progress_go_on(err);
        if (rc == 0 && number != 0)
            rc = search_line(search, text, arena, number, err);
        if (rc)
            err_wrap(err, "line %lld", (long long)number);
    }
    line_reader_close(reader);
    arena_free(arena);
    return rc;
}

/* --vector is a file of numpy or of lines, "-", or a line itself. */
static int search_vectors(struct search *search, const char *vectors,
                          struct err *err)
{
    struct arena *arena;
    int rc;

    if (path_ends_with(vectors, ".npy"))
        return search_matrix(search, vectors, err);
    if (vectors[0] != '[' && vectors[0] != '{')
        return search_lines(search, vectors, err);
    arena = arena_new(ARENA_LEN_MAX);
    rc = search_line(search, bytes_of_text(vectors), arena, 1, err);
    arena_free(arena);
    return rc;
}

/* --- where ---------------------------------------------------------------- */

static int open_index(struct search *search, const char *path, struct err *err)
{
    const char *type = arguments_flag(search->arguments, "type");
    const char *metric = arguments_flag(search->arguments, "metric");
    struct vecindex_options options = {0};
    struct vecindex_info info;
    int rc = 0;

    if (search->filter.term_count > 0)
        return err_set(err, ERR_INVALID,
                       "%s has no tags that --where could ask for", path);
    if (type != NULL)
        rc = vecindex_type_parse(type, &options.type, err);
    if (rc == 0 && metric != NULL)
        rc = vecindex_metric_parse(metric, &options.metric, err);
    if (rc == 0)
        rc = vecindex_open(path, &options, &search->index, err);
    if (rc)
        return rc;
    vecindex_info(search->index, &info);
    search->metric = info.metric;
    search->type = info.type_name;
    return 0;
}

static int open_store(struct search *search, struct err *err)
{
    struct vec_info *info = &search->target.info;
    int rc;

    if (arguments_flag(search->arguments, "type") != NULL ||
        arguments_flag(search->arguments, "metric") != NULL)
        return err_set(err, ERR_INVALID,
                       "--type and --metric are for files of FAISS and numpy; "
                       "%s has its own",
                       search->target.shown);
    rc = target_open_store(&search->target, VEC_READ, NULL, 0, err);
    if (rc)
        return rc;
    search->metric = info->metric;
    search->type = vecindex_type_name(info->type);
    return 0;
}

/* --vector with a word searches in the file of that name. */
static int open_place(struct search *search, bool has_images, struct err *err)
{
    const struct arguments *arguments = search->arguments;
    struct target *target = &search->target;
    const char *path;
    int rc;

    if (!has_images && arguments->word_count == 1) {
        path = arguments->words[0];
        if (shelf_is_path(path))
            return open_index(search, path, err);
        return err_set(err, ERR_INVALID,
                       "'%s' is no file of FAISS or numpy; --collection names "
                       "another set to search in",
                       path);
    }
    rc = target_find(arguments, has_images, target, err);
    if (rc)
        return rc;
    path = target->where != NULL ? target->where : target->shown;
    return target->is_foreign ? open_index(search, path, err)
                              : open_store(search, err);
}

static int read_radius(struct search *search, struct err *err)
{
    const char *text = arguments_flag(search->arguments, "radius");
    char *end;

    if (text == NULL)
        return 0;
    search->query.radius = strtof(text, &end);
    if (end == text || *end != '\0' || !isfinite(search->query.radius))
        return err_set(err, ERR_INVALID,
                       "--radius is '%.40s'; it must be a number", text);
    search->query.has_radius = true;
    return 0;
}

static int read_flags(struct search *search, struct err *err)
{
    const struct arguments *arguments = search->arguments;
    int rc = target_number(arguments, "k", VEC_K_MAX, &search->query.k, err);

    search->is_json = arguments_flag(arguments, "json") != NULL;
    search->query.is_exact = arguments_flag(arguments, "exact") != NULL;
    if (rc == 0)
        rc = target_number(arguments, "nprobe", VECINDEX_NPROBE_MAX,
                           &search->query.nprobe, err);
    if (rc == 0)
        rc = target_number(arguments, "ef-search", VECINDEX_EF_MAX,
                           &search->query.ef_search, err);
    if (rc == 0)
        rc = read_radius(search, err);
    if (rc == 0)
        rc = filter_read(arguments, search->flags, &search->filter, err);
    if (search->filter.term_count > 0)
        search->query.filter = &search->filter;
    return rc;
}

int command_index_search(struct arguments *arguments, struct err *err)
{
    const char *vectors = arguments_flag(arguments, "vector");
    struct search search = {.arguments = arguments,
                            .query.k = K,
                            .flags = arena_new(ARENA_LEN_MAX),
                            .arena = arena_new(ARENA_LEN_MAX)};
    struct classify_options options = {.top_k = 1};
    int rc = read_flags(&search, err);

    progress_catch();
    if (rc == 0 && vectors == NULL && arguments->word_count == 0)
        rc = err_set(err, ERR_INVALID,
                     "nothing to look for: name images, or --vector");
    if (rc == 0 && vectors != NULL && arguments->word_count > 1)
        rc = err_set(err, ERR_INVALID,
                     "--vector is looked for in one file, not in %d",
                     arguments->word_count);
    if (rc == 0)
        rc = open_place(&search, vectors == NULL, err);
    if (rc == 0 && vectors != NULL)
        rc = search_vectors(&search, vectors, err);
    else if (rc == 0)
        rc = images_run(&search.target.app, arguments->words,
                        arguments->word_count, &options, take_image, &search,
                        err);
    vecindex_free(search.index);
    target_close(&search.target);
    arena_free(search.flags);
    arena_free(search.arena);
    return rc || search.failed_count > 0 ? EXIT_FAILED : EXIT_FINE;
}
