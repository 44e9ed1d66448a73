/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a code for programs, one sentence for people.
 *
 *     if (k < 1 || k > K_MAX)
 *         return err_set(err, ERR_INVALID, "k is %d; it must be 1..%d",
 *                        k, K_MAX);
 *
 * A fallible function returns 0 or an `enum err_code` and takes a
 * `struct err *err` last: never NULL, clean on entry, filled once on failure.
 * Messages are one sentence with the numbers and are safe to show a client.
 * Thread-safe: a `struct err` belongs to its caller. */
#ifndef OLHO_BASE_ERR_H
#define OLHO_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, args) __attribute__((format(printf, text, args)))

/* clang-format off */
#define ERR_CODES(X)                                                     \
    /*  name         http  who is at fault, what the caller may do */    \
    X(INVALID,       400) /* the input is wrong; do not retry         */ \
    X(UNAUTHORIZED,  401) /* no key, or an unknown one                */ \
    X(FORBIDDEN,     403) /* the key, or the path, is not allowed     */ \
    X(NOT_FOUND,     404) /* no such thing; do not retry              */ \
    X(METHOD,        405) /* the path exists, not with this method    */ \
    X(CONFLICT,      409) /* somebody else holds or changed it        */ \
    X(TOO_LARGE,     413) /* over a named limit; send less            */ \
    X(MEDIA_TYPE,    415) /* a type of content we do not read         */ \
    X(UNPROCESSABLE, 422) /* well formed, yet it cannot be used       */ \
    X(BUSY,          429) /* a queue is full; retry after a pause     */ \
    X(HEADERS,       431) /* the request's header is too large        */ \
    X(INTERNAL,      500) /* our fault; the log says more             */ \
    X(IO,            500) /* a file or disk failed; see the log       */ \
    X(CORRUPT,       500) /* a file of ours is damaged                */ \
    X(UNSUPPORTED,   501) /* this build or this backend cannot do it  */ \
    X(UNAVAILABLE,   503) /* a part is away or memory is short; retry */ \
    X(TIMEOUT,       504) /* the deadline passed; retry later         */
/* clang-format on */

enum err_code {
    ERR_OK = 0,
#define X(name, http) ERR_##name,
    ERR_CODES(X)
#undef X
        ERR_COUNT
};

enum { ERR_TEXT_MAX = 400 };

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX]; /* one sentence, no newline, valid UTF-8 */
};

/* Fills err and returns code, so that a caller can `return err_set(...)`.
 * A text over ERR_TEXT_MAX is cut; bytes that are not UTF-8 become '?'. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts "context: " before the text and returns err->code. */
int err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "INVALID" and 400 for ERR_INVALID; "OK" and 200 for ERR_OK. */
const char *err_name(enum err_code code);
int err_http(enum err_code code);

#endif
