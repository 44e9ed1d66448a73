/* SPDX-License-Identifier: Apache-2.0 */
#include "http/multipart.h"

#include <assert.h>
#include <string.h>

#include "http/header.h"
#include "http/part_header.h"

enum { PADDING_MAX = 64, PARTS_FIRST = 4 };

/* What stands behind the text of a delimiter. */
enum tail {
    TAIL_OTHER, /* no delimiter after all: the boundary begins a longer word */
    TAIL_NEXT,  /* a part follows */
    TAIL_LAST,  /* the end of the form */
    TAIL_SHORT, /* not yet known */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for the parts of a form");
}

/* RFC 2046: 1 to 70 of these characters, no space at the end. */
static bool is_boundary(const char *text)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ";
    size_t len = strlen(text);

    return len >= 1 && len <= MULTIPART_BOUNDARY_MAX &&
           strspn(text, allowed) == len && text[len - 1] != ' ';
}

int multipart_init(struct multipart *multipart, const char *content_type,
                   size_t file_len_max, struct arena *arena, struct err *err)
{
    char *boundary;
    int rc = header_param(content_type, "boundary", arena, &boundary, err);

    if (rc)
        return rc;
    if (boundary == NULL)
        return err_set(err, ERR_INVALID,
                       "multipart/form-data comes without its boundary");
    if (!is_boundary(boundary))
        return err_set(err, ERR_INVALID,
                       "the boundary must be 1..%d characters of RFC 2046",
                       MULTIPART_BOUNDARY_MAX);
    *multipart = (struct multipart){
        .arena = arena,
        .file_len_max = file_len_max,
        .delimiter_len = 4 + strlen(boundary),
    };
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary, strlen(boundary) + 1);
    return 0;
}

/* Reads behind a delimiter that ends at `at`; *out_next is then the start of
 * the part's header. */
static enum tail read_tail(struct bytes body, size_t at, size_t *out_next)
{
    size_t i = at;

    if (body.len - at < 2)
        return TAIL_SHORT;
    if (body.data[at] == '-' && body.data[at + 1] == '-')
        return TAIL_LAST;
    while (i < body.len && i - at < PADDING_MAX &&
           (body.data[i] == ' ' || body.data[i] == '\t'))
        i++;
    if (i == body.len || (body.data[i] == '\r' && i + 1 == body.len))
        return TAIL_SHORT;
    if (body.data[i] != '\r' || body.data[i + 1] != '\n')
        return TAIL_OTHER;
    *out_next = i + 2;
    return TAIL_NEXT;
}

/* Looks for the next delimiter from multipart->place on. *out_start is where
 * it begins. When TAIL_SHORT, place is where to go on with more bytes. */
static enum tail find_delimiter(struct multipart *multipart, struct bytes body,
                                size_t *out_start, size_t *out_next)
{
    size_t len = multipart->delimiter_len;
    size_t from = multipart->place;

    while (from < body.len) {
        const uint8_t *hit = memmem(body.data + from, body.len - from,
                                    multipart->delimiter, len);
        enum tail tail;

        if (hit == NULL)
            break;
        *out_start = (size_t)(hit - body.data);
        tail = read_tail(body, *out_start + len, out_next);
        if (tail == TAIL_SHORT)
            multipart->place = *out_start;
        if (tail != TAIL_OTHER)
            return tail;
        from = *out_start + len;
    }
    if (body.len - from >= len)
        from = body.len - (len - 1);
    multipart->place = from;
    return TAIL_SHORT;
}

static int add_part(struct multipart *multipart, struct err *err)
{
    if (multipart->part_count == HTTP_PARTS_MAX)
        return err_set(err, ERR_TOO_LARGE, "the form has more than %d parts",
                       HTTP_PARTS_MAX);
    if (multipart->part_count == multipart->part_cap) {
        int cap =
            multipart->part_cap == 0 ? PARTS_FIRST : multipart->part_cap * 4;
        struct multipart_part *parts =
            arena_try(multipart->arena, (size_t)cap, sizeof *parts);

        if (parts == NULL)
            return no_memory(err);
        if (multipart->part_count > 0)
            memcpy(parts, multipart->parts,
                   (size_t)multipart->part_count * sizeof *parts);
        multipart->parts = parts;
        multipart->part_cap = cap;
    }
    multipart->part_count++;
    return 0;
}

static struct multipart_part *part_at_hand(const struct multipart *multipart)
{
    assert(multipart->part_count > 0);
    return &multipart->parts[multipart->part_count - 1];
}

static int check_part_len(const struct multipart *multipart, size_t end,
                          struct err *err)
{
    const struct multipart_part *part = part_at_hand(multipart);
    size_t max = part->is_file ? multipart->file_len_max
                               : (size_t)MULTIPART_FIELD_LEN_MAX;

    if (end <= part->start || end - part->start <= max)
        return 0;
    return err_set(err, ERR_TOO_LARGE,
                   "part '%.64s' has %zu bytes or more; the limit for a %s is "
                   "%zu",
                   part->name, end - part->start,
                   part->is_file ? "file" : "field", max);
}

/* Enters the header of the next part, or ends. */
static int pass_delimiter(struct multipart *multipart, enum tail tail,
                          size_t next, struct err *err)
{
    if (tail == TAIL_LAST) {
        multipart->state = MULTIPART_DONE;
        return 0;
    }
    multipart->state = MULTIPART_HEADER;
    multipart->header_start = next;
    /* A header without lines ends with the delimiter's own CRLF. */
    multipart->place = next - 2;
    return add_part(multipart, err);
}

/* Each step answers in *is_short whether it needs more bytes. */
static int step_preamble(struct multipart *multipart, struct bytes body,
                         bool *is_short, struct err *err)
{
    size_t len = multipart->delimiter_len - 2, start, next = 0;
    enum tail tail = TAIL_OTHER;

    if (multipart->place == 0) { /* the first boundary needs no CRLF before */
        if (body.len < len)
            tail = TAIL_SHORT;
        else if (memcmp(body.data, multipart->delimiter + 2, len) == 0)
            tail = read_tail(body, len, &next);
    }
    if (tail == TAIL_OTHER)
        tail = find_delimiter(multipart, body, &start, &next);
    *is_short = tail == TAIL_SHORT;
    return *is_short ? 0 : pass_delimiter(multipart, tail, next, err);
}

static int step_header(struct multipart *multipart, struct bytes body,
                       bool *is_short, struct err *err)
{
    size_t start = multipart->header_start, end;
    const uint8_t *hit = memmem(body.data + multipart->place,
                                body.len - multipart->place, "\r\n\r\n", 4);
    int rc;

    *is_short = hit == NULL;
    end = hit == NULL ? body.len : (size_t)(hit - body.data) + 2;
    if (end > start && end - start > MULTIPART_HEADER_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "part %d has a header of more than %d bytes",
                       multipart->part_count, MULTIPART_HEADER_LEN_MAX);
    if (hit == NULL) {
        if (body.len - multipart->place > 3)
            multipart->place = body.len - 3;
        return 0;
    }
    rc = part_header_read((struct bytes){body.data + start, end - start},
                          multipart->part_count, multipart->arena,
                          part_at_hand(multipart), err);
    if (rc)
        return rc;
    part_at_hand(multipart)->start = end + 2;
    multipart->state = MULTIPART_DATA;
    /* Data may be left out with its CRLF; the delimiter's is then the one
     * that ended the header. */
    multipart->place = end;
    return 0;
}

static int step_data(struct multipart *multipart, struct bytes body,
                     bool *is_short, struct err *err)
{
    struct multipart_part *part = part_at_hand(multipart);
    size_t start = 0, next = 0;
    enum tail tail = find_delimiter(multipart, body, &start, &next);
    int rc;

    *is_short = tail == TAIL_SHORT;
    rc = check_part_len(multipart, *is_short ? multipart->place : start, err);
    if (rc || *is_short)
        return rc;
    part->len = start > part->start ? start - part->start : 0;
    return pass_delimiter(multipart, tail, next, err);
}

int multipart_scan(struct multipart *multipart, struct bytes body,
                   struct err *err)
{
    bool is_short = false;
    int rc = 0;

    while (rc == 0 && !is_short) {
        switch (multipart->state) {
        case MULTIPART_PREAMBLE:
            rc = step_preamble(multipart, body, &is_short, err);
            break;
        case MULTIPART_HEADER:
            rc = step_header(multipart, body, &is_short, err);
            break;
        case MULTIPART_DATA:
            rc = step_data(multipart, body, &is_short, err);
            break;
        case MULTIPART_DONE:
            return 0;
        }
    }
    return rc;
}

int multipart_finish(struct multipart *multipart, struct bytes body,
                     const struct http_part **out, int *out_count,
                     struct err *err)
{
    struct http_part *parts;
    int i, rc = multipart_scan(multipart, body, err);

    if (rc)
        return rc;
    if (multipart->state != MULTIPART_DONE)
        return err_set(
            err, ERR_INVALID,
            "the form ends after %zu bytes, before its last boundary",
            body.len);
    parts = arena_try(multipart->arena, (size_t)multipart->part_count,
                      sizeof *parts);
    if (parts == NULL)
        return no_memory(err);
    for (i = 0; i < multipart->part_count; i++) {
        const struct multipart_part *part = &multipart->parts[i];

        assert(part->start <= body.len && part->len <= body.len - part->start);
        parts[i] = (struct http_part){part->name,
                                      part->filename,
                                      part->content_type,
                                      {body.data + part->start, part->len}};
    }
    *out = parts;
    *out_count = multipart->part_count;
    return 0;
}
