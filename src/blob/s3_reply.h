/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what an S3 server answers: a little XML and two forms of time. The
 * server is not trusted: nothing is read past the bytes given, and what does
 * not look as expected is absent.
 *
 * No XML parser: the answers are flat, their tags have no attributes, and
 * entities are the only escapes. Thread-safe. */
#ifndef OLHO_BLOB_S3_REPLY_H
#define OLHO_BLOB_S3_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* What stands between the next <tag> and its </tag>, still escaped; *rest
 * moves behind it. False when there is none more. */
bool s3_xml_next(struct bytes *rest, const char *tag, struct bytes *out);
bool s3_xml_find(struct bytes xml, const char *tag, struct bytes *out);

/* Whether the first <tag> holds exactly this text. */
bool s3_xml_is(struct bytes xml, const char *tag, const char *text);

/* Appends the text with its entities resolved; one that is not known stays as
 * it is. */
void s3_xml_text(struct bytes raw, struct buf *out);

/* "2026-11-21T12:00:00.123Z" and "Sat, 21 Nov 2026 12:00:00 GMT" in
 * milliseconds since 1970; 0 for anything else. */
int64_t s3_time_iso(struct bytes text);
int64_t s3_time_http(struct bytes text);

/* "NoSuchKey: The key is not there." of an error's XML into out (size bytes),
 * printable ASCII only, cut where it does not fit; "" when there is none. */
void s3_error_text(struct bytes xml, char *out, size_t size);

#endif
