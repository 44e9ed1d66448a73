/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_url.h"

#include <string.h>

#include "store/store.h"
#include "test.h"

static void read_server(const char *rest, struct store_place *out)
{
    struct err err = {0};

    CHECK_OK(store_place_of_server(rest, out, &err), err);
}

TEST(store_url_takes_a_server_apart)
{
    struct store_place place;

    read_server("ana:s%40%2F%3a@db.local:6543/olho?sslmode=verify-full&"
                "sslrootcert=%2Fca.pem",
                &place);
    CHECK_TEXT(place.user, "ana");
    CHECK_TEXT(place.password, "s@/:");
    CHECK_TEXT(place.host, "db.local");
    CHECK_INT(place.port, 6543);
    CHECK_TEXT(place.database, "olho");
    CHECK_INT(place.tls, STORE_TLS_VERIFY_FULL);
    CHECK_TEXT(place.tls_roots, "/ca.pem");
    store_place_release(&place);
}

TEST(store_url_needs_neither_user_nor_port)
{
    struct store_place place;

    read_server("[::1]/olho", &place);
    CHECK_TEXT(place.host, "::1");
    CHECK_TEXT(place.user, "");
    CHECK_INT(place.port, 0);
    CHECK_INT(place.tls, STORE_TLS_PREFER);
    store_place_release(&place);
    read_server("ana@%2Fvar%2Frun:5433/olho?ssl=true", &place);
    CHECK_TEXT(place.host, "/var/run");
    CHECK_INT(place.port, 5433);
    CHECK_INT(place.tls, STORE_TLS_REQUIRE);
    store_place_release(&place);
}

TEST(store_url_takes_a_password_with_an_at_sign_as_it_is)
{
    struct store_place place;

    read_server("ana:p@ss@host/olho", &place);
    CHECK_TEXT(place.password, "p@ss");
    CHECK_TEXT(place.host, "host");
    store_place_release(&place);
}

TEST(store_url_names_what_is_wrong_and_no_password)
{
    static const struct {
        const char *rest, *says;
    } bad[] = {
        {"ana:geheim@host", "name of the database"},
        {"ana:geheim@host/", "name of the database"},
        {"ana:geheim@/olho", "no host"},
        {"ana:geheim@host:0/olho", "port"},
        {"ana:geheim@host:65536/olho", "port"},
        {"ana:geheim@host:99999999999999999999/olho", "port"},
        {"ana:geheim@host:5x/olho", "port"},
        {"ana:geheim@[::1/olho", "["},
        {"ana:geheim@[::1]5/olho", "]"},
        {"ana:geheim@host/olho?sslmode=maybe", "sslmode"},
        {"ana:geheim@host/olho?timeout=3", "timeout"},
        {"ana:geheim@host/olho/x", "name of the database"},
        {"ana:geheim%00x@host/olho", "password"},
        {"ana:geheim@ho\nst/olho", "host"},
    };
    struct store_place place;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};

        CHECK_ERR(store_place_of_server(bad[i].rest, &place, &err),
                  ERR_INVALID);
        CHECK_HAS(err.text, bad[i].says);
        CHECK(strstr(err.text, "geheim") == NULL);
        store_place_release(&place);
    }
}

TEST(store_url_takes_files_as_paths_or_urls)
{
    struct store_place place;
    struct err err = {0};

    CHECK_INT(store_url_scheme_len("sqlite:///x"), 6);
    CHECK_INT(store_url_scheme_len("/a/b.db"), 0);
    CHECK_INT(store_url_scheme_len("my dir/x://y"), 0);
    CHECK_OK(store_place_of_file("/a%20b.db", true, &place, &err), err);
    CHECK_TEXT(place.path, "/a b.db");
    store_place_release(&place);
    CHECK_OK(store_place_of_file("a%20b.db", false, &place, &err), err);
    CHECK_TEXT(place.path, "a%20b.db");
    store_place_release(&place);
    CHECK_ERR(store_place_of_file("", false, &place, &err), ERR_INVALID);
    store_place_release(&place);
    CHECK_ERR(store_place_of_file("/a%00b.db", true, &place, &err),
              ERR_INVALID);
    store_place_release(&place);
    CHECK_ERR(store_place_of_file(":memory:", false, &place, &err),
              ERR_INVALID);
    store_place_release(&place);
}

TEST(store_url_is_built_from_the_settings)
{
    struct store_settings settings = {.url = "",
                                      .host = "",
                                      .database = "olho",
                                      .user = "",
                                      .password = "",
                                      .port = 5432,
                                      .home = "/data"};
    char url[100] = "";
    struct err err = {0};

    CHECK_OK(store_url_of(&settings, url, sizeof url, &err), err);
    CHECK_TEXT(url, "/data/olho.db");
    settings.host = "db";
    CHECK_OK(store_url_of(&settings, url, sizeof url, &err), err);
    CHECK_TEXT(url, "postgres://db:5432/olho");
    settings.port = 3306;
    settings.user = "a b";
    settings.password = "p@:/ç";
    settings.host = "::1";
    CHECK_OK(store_url_of(&settings, url, sizeof url, &err), err);
    CHECK_TEXT(url, "mysql://a%20b:p%40%3A%2F%C3%A7@[::1]:3306/olho");
    CHECK_ERR(store_url_of(&settings, url, 20, &err), ERR_TOO_LARGE);
    settings.url = "sqlite:///x.db";
    err = (struct err){0};
    CHECK_OK(store_url_of(&settings, url, sizeof url, &err), err);
    CHECK_TEXT(url, "sqlite:///x.db");
}

TEST(store_open_refuses_an_unknown_scheme_and_options_out_of_bounds)
{
    struct store_options options = {.connection_max = 1, .timeout_ms = 1000};
    struct store *store = NULL;
    struct err err = {0};

    CHECK_ERR(store_open("oracle://a:geheim@b/c", &options, &store, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "oracle");
    CHECK(strstr(err.text, "geheim") == NULL);
    options.connection_max = 65;
    CHECK_ERR(store_open("x.db", &options, &store, &err), ERR_INVALID);
    options.connection_max = 1;
    options.timeout_ms = 0;
    CHECK_ERR(store_open("x.db", &options, &store, &err), ERR_INVALID);
    CHECK(store == NULL);
}

TEST(store_url_is_told_without_the_password)
{
    static const struct {
        const char *url, *name;
    } urls[] = {
        {"postgresql://ana:geheim@[::1]/olho",
         "postgresql://ana@[::1]:5432/olho"},
        {"mariadb://ana:geheim@127.0.0.1/olho",
         "mariadb://ana@127.0.0.1:3306/olho"},
    };
    const struct store_options options = {.connection_max = 1,
                                          .timeout_ms = 1000};
    struct store *store = NULL;
    size_t i;

    for (i = 0; i < 2; i++) {
        struct err err = {0};

        CHECK_ERR(store_open(urls[i].url, &options, &store, &err),
                  ERR_UNAVAILABLE);
        CHECK_HAS(err.text, urls[i].name);
        CHECK(strstr(err.text, "geheim") == NULL);
    }
}
