/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar is that of Milvus's planparserv2/Plan.g4, where a line may not
 * end within quotes and any other character may stand for itself; the server
 * undoes the escapes as Go does (strconv.Unquote). milvus-lite has a grammar of
 * its own, which knows these escapes and no others that we would need. */
#include "vectors/milvus_expr.h"

#include <inttypes.h>

void milvus_expr_text(const char *value, struct buf *out)
{
    const char *p;

    buf_add_char(out, '"');
    for (p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, *p);
        } else if (*p == '\n' || *p == '\r') {
            buf_add_text(out, *p == '\n' ? "\\n" : "\\r");
        } else {
            buf_add_char(out, *p);
        }
    }
    buf_add_char(out, '"');
}

/* json_contains_any(olho_tags["tags"], ["name=a","name=b"]) */
static void add_tags(const struct vec_term *term, struct buf *out)
{
    struct buf tag;
    int i;

    buf_init(&tag, VEC_TAG_NAME_MAX + VEC_TAG_VALUE_MAX + 1);
    buf_printf(out, "%sjson_contains_any(%s[\"%s\"], [",
               term->is_not ? "not " : "", MILVUS_TAGS_COLUMN,
               MILVUS_TAGS_MEMBER);
    for (i = 0; i < term->value_count; i++) {
        buf_clear(&tag);
        buf_printf(&tag, "%s=%s", term->name, term->values[i]);
        if (i > 0)
            buf_add_char(out, ',');
        if (tag.is_full || tag.is_broken)
            out->is_broken = true;
        else
            milvus_expr_text(tag.data, out);
    }
    buf_add_text(out, "])");
    buf_release(&tag);
}

static void add_texts(const char *const *values, int count, struct buf *out)
{
    int i;

    buf_add_char(out, '[');
    for (i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        milvus_expr_text(values[i], out);
    }
    buf_add_char(out, ']');
}

int milvus_expr_filter(const struct milvus_shape *shape,
                       const struct vec_filter *filter, struct buf *out,
                       struct err *err)
{
    int i, term_count = filter != NULL ? filter->term_count : 0;

    for (i = 0; i < term_count; i++) {
        const struct vec_term *term = &filter->terms[i];
        const struct milvus_column *column =
            milvus_shape_tag(shape, term->name);

        if (shape->has_json) {
            if (out->len > 0)
                buf_add_text(out, " and ");
            add_tags(term, out);
            continue;
        }
        if (column == NULL)
            return err_set(err, ERR_UNSUPPORTED,
                           "the collection has no varchar column '%s' for "
                           "that tag",
                           term->name);
        if (out->len > 0)
            buf_add_text(out, " and ");
        buf_printf(out, "%s %s ", column->name, term->is_not ? "not in" : "in");
        add_texts(term->values, term->value_count, out);
    }
    return buf_check(out, err);
}

void milvus_expr_ids(const struct milvus_shape *shape, const int64_t *ids,
                     int count, struct buf *out)
{
    int i;

    buf_clear(out);
    buf_printf(out, "%s in [", shape->id);
    for (i = 0; i < count; i++)
        buf_printf(out, i > 0 ? ",%" PRId64 : "%" PRId64, ids[i]);
    buf_add_char(out, ']');
}

void milvus_expr_keys(const struct milvus_shape *shape, const char *const *keys,
                      int count, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s in ", shape->key.name);
    add_texts(keys, count, out);
}
