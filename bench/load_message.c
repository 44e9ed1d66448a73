/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char block[65536];
    size_t len;

    if (!file)
        die(strerror(errno), path);
    while ((len = fread(block, 1, sizeof(block), file)) > 0)
        buf_add(out, block, len);
    if (ferror(file) || out->is_full || out->is_broken)
        die("cannot be read whole", path);
    fclose(file);
}

static struct message *message_add(struct load *load)
{
    struct message *message;

    if (load->message_count == MESSAGES_MAX)
        die("too many files", "4096 is the most");
    message = &load->messages[load->message_count++];
    buf_init(&message->request, FILE_LEN_MAX);
    buf_init(&message->answer, FILE_LEN_MAX);
    return message;
}

void load_add_photo(struct load *load, const char *path)
{
    static const char mark[] = "----olho-bench-5f1c9a7e";
    struct message *message = message_add(load);
    struct buf photo, body;

    buf_init(&photo, FILE_LEN_MAX);
    buf_init(&body, FILE_LEN_MAX);
    read_file(path, &photo);
    buf_printf(&body,
               "--%s\r\nContent-Disposition: form-data; name=\"%s\"; "
               "filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n",
               mark, load->options.field);
    buf_add(&body, photo.data, photo.len);
    buf_printf(&body, "\r\n--%s--\r\n", mark);
    buf_printf(&message->request,
               "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
               "Content-Type: multipart/form-data; boundary=%s\r\n"
               "Content-Length: %zu\r\n\r\n",
               load->options.path, load->options.port, mark, body.len);
    buf_add(&message->request, body.data, body.len);
    message->statuses[message->status_count++] = 200;
    load->good_count++;
    buf_release(&body);
    buf_release(&photo);
}

static void add_plan_line(struct load *load, char *line)
{
    char *rest = line, *kind = strsep(&rest, "\t"),
         *statuses = strsep(&rest, "\t"), *request = strsep(&rest, "\t"),
         *answer = strsep(&rest, "\t"), *status;
    struct message *message = message_add(load);

    if (!answer)
        die("a line has fewer than four fields", load->options.plan);
    message->kind = !strcmp(kind, "good")    ? KIND_GOOD
                    : !strcmp(kind, "reset") ? KIND_RESET
                                             : KIND_BAD;
    if (message->kind == KIND_GOOD) {
        if (load->good_count != load->message_count - 1)
            die("the good ones must come first", load->options.plan);
        load->good_count++;
    }
    while ((status = strsep(&statuses, ",")) &&
           message->status_count < STATUSES_MAX)
        message->statuses[message->status_count++] =
            (int)strtol(status, NULL, 10);
    read_file(request, &message->request);
    if (strcmp(answer, "-") != 0)
        read_file(answer, &message->answer);
}

void load_add_plan(struct load *load)
{
    struct buf text;
    char *rest, *line;

    buf_init(&text, FILE_LEN_MAX);
    read_file(load->options.plan, &text);
    buf_add_char(&text, '\0');
    rest = text.data;
    while ((line = strsep(&rest, "\n")))
        if (*line)
            add_plan_line(load, line);
    buf_release(&text);
}

const struct message *load_next_message(struct load *load)
{
    int bad_count = load->message_count - load->good_count;

    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    if (bad_count > 0 && (int)(load->random % 100) < load->options.bad_percent)
        return &load->messages[load->good_count + load->next_bad++ % bad_count];
    return &load->messages[load->next_good++ % load->good_count];
}
