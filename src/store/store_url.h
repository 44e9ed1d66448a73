/* SPDX-License-Identifier: Apache-2.0 */
/* Where the database is: URLs taken apart and put together.
 *
 *     sqlite:///var/lib/olho/olho.db     the file /var/lib/olho/olho.db
 *     data/olho.db                       a file, from the working folder
 *     postgres://user:secret@host:5432/olho?sslmode=require
 *     mysql://user:secret@host/olho?ssl=true
 *
 * User, password, host, database and file are percent-decoded. A host that
 * begins with a slash, written %2F..., is a Unix socket (PostgreSQL: its
 * folder). sslmode is disable, prefer (the default), require, verify-ca or
 * verify-full; ssl=true is require, ssl=false is disable; sslrootcert names the
 * file of the authorities to trust. Thread-safe. */
#ifndef OLHO_STORE_STORE_URL_H
#define OLHO_STORE_STORE_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum store_tls {
    STORE_TLS_DISABLE,
    STORE_TLS_PREFER,
    STORE_TLS_REQUIRE,
    STORE_TLS_VERIFY_CA,
    STORE_TLS_VERIFY_FULL,
};

enum { STORE_URL_MAX = 8192 };

/* A URL taken apart. Texts are owned by the place and "" when absent. */
struct store_place {
    const char *scheme; /* of the table in store.c; static */
    char *path;         /* of a file */
    char *user, *password, *host, *database;
    int port; /* 0: not said */
    enum store_tls tls;
    char *tls_roots; /* file of certificates; "": the library's own */
};

/* The length of a URL's scheme ("postgres" in "postgres://..."); 0: none, so
 * that it is a plain path. */
size_t store_url_scheme_len(const char *url);

/* Takes the part behind "scheme://" apart, or a path, which is_encoded when it
 * comes from a URL. ERR_INVALID names what
 * is wrong and never shows user or password. The caller ends *out with
 * store_place_release, also after a failure. */
MUST_CHECK int store_place_of_file(const char *path, bool is_encoded,
                                   struct store_place *out, struct err *err);
MUST_CHECK int store_place_of_server(const char *rest, struct store_place *out,
                                     struct err *err);
void store_place_release(struct store_place *place);

/* What the settings say: url as it is when there is one; or else a server's
 * URL when there is a host (port 3306: mysql, else postgres); or else the file
 * olho.db in the folder home. */
struct store_settings {
    const char *url;
    const char *host, *database, *user, *password;
    int port;
    const char *home;
};

/* Writes at most size bytes. ERR_TOO_LARGE when they are too few. */
MUST_CHECK int store_url_of(const struct store_settings *settings, char *out,
                            size_t size, struct err *err);

#endif
