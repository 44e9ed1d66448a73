/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/database.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_url.h"

struct database {
    char url[STORE_URL_MAX];
    struct store_options options;
    bool is_file;

    pthread_mutex_t opening; /* held by the thread that tries to open it; never
                              * taken while `mutex` is held */
    pthread_mutex_t mutex;   /* guards what follows */
    struct store *store;     /* NULL until it is open; then stays */
    char why[ERR_TEXT_MAX];  /* the last attempt failed */
};

/* Whether the URL can be at all. */
static int check_url(struct database *database, struct err *err)
{
    size_t len = store_url_scheme_len(database->url);
    struct store_place place = {0};
    int rc;

    database->is_file = len == 0 || strncmp(database->url, "sqlite", len) == 0;
    if (database->is_file)
        rc = store_place_of_file(len == 0 ? database->url
                                          : database->url + len + 3,
                                 len > 0, &place, err);
    else
        rc = store_place_of_server(database->url + len + 3, &place, err);
    store_place_release(&place);
    return rc ? err_wrap(err, "STORE_URL") : 0;
}

int database_url(const struct config *config, char *out, size_t size,
                 struct err *err)
{
    char home[FILE_PATH_MAX] = "";
    const struct store_settings settings = {
        .url = config->store_url,
        .host = config->db_host,
        .database = config->db_name,
        .user = config->db_user,
        .password = config->db_password,
        .port = (int)config->db_port,
        .home = home,
    };
    int rc = 0;

    if (config->store_url[0] == '\0' && config->db_host[0] == '\0')
        rc = config_home(config, home, err);
    return rc ? rc : store_url_of(&settings, out, size, err);
}

struct store_options database_options(const struct config *config)
{
    return (struct store_options){
        .connection_max = (int)config->store_connection_max,
        .timeout_ms = (int)(config->store_timeout_s * 1000 + 0.5),
    };
}

int database_new(const struct config *config, struct database **out,
                 struct err *err)
{
    struct database *database = mem_new(sizeof *database);
    int rc;

    pthread_mutex_init(&database->opening, NULL);
    pthread_mutex_init(&database->mutex, NULL);
    database->options = database_options(config);
    snprintf(database->why, sizeof database->why, "not opened yet");
    rc = database_url(config, database->url, sizeof database->url, err);
    if (rc == 0)
        rc = check_url(database, err);
    if (rc) {
        database_free(database);
        return rc;
    }
    *out = database;
    return 0;
}

void database_free(struct database *database)
{
    if (database == NULL)
        return;
    store_close(database->store);
    pthread_mutex_destroy(&database->opening);
    pthread_mutex_destroy(&database->mutex);
    mem_free(database);
}

bool database_is_file(const struct database *database)
{
    return database->is_file;
}

static struct store *opened(struct database *database)
{
    struct store *store;

    pthread_mutex_lock(&database->mutex);
    store = database->store;
    pthread_mutex_unlock(&database->mutex);
    return store;
}

/* Opens and migrates; by one thread at a time. */
static int open_store(struct database *database, struct err *err)
{
    struct store *store = NULL;
    int applied = 0, rc;

    rc = store_open(database->url, &database->options, &store, err);
    if (rc == 0)
        rc = store_migrate(store, &applied, err);
    if (rc == 0)
        log_write(LOG_INFO, "the database is open",
                  log_text("store", store_name(store)),
                  log_integer("migrations", applied));
    pthread_mutex_lock(&database->mutex);
    if (rc == 0)
        database->store = store;
    else
        snprintf(database->why, sizeof database->why, "%s", err->text);
    pthread_mutex_unlock(&database->mutex);
    if (rc)
        store_close(store);
    return rc;
}

int database_reach(struct database *database, struct store **out,
                   struct err *err)
{
    int rc = 0;

    *out = opened(database);
    if (*out != NULL)
        return 0;
    pthread_mutex_lock(&database->opening);
    if (opened(database) == NULL)
        rc = open_store(database, err);
    pthread_mutex_unlock(&database->opening);
    *out = opened(database);
    return rc;
}

int database_get(struct database *database, struct store **out, struct err *err)
{
    char why[ERR_TEXT_MAX];

    *out = opened(database);
    if (*out != NULL)
        return 0;
    database_state(database, why, sizeof why);
    return err_set(err, ERR_UNAVAILABLE, "the database is away: %.200s", why);
}

void database_state(struct database *database, char *out, size_t size)
{
    pthread_mutex_lock(&database->mutex);
    snprintf(out, size, "%s", database->store != NULL ? "ok" : database->why);
    pthread_mutex_unlock(&database->mutex);
}

/* To be opened may take as long as bringing it up to date does; whoever writes
 * has rows to put aside meanwhile. */
int database_write(void *user, const struct store_row *rows, int count,
                   struct err *err)
{
    struct store *store = NULL;
    int rc = database_get(user, &store, err);

    return rc ? rc : store_write(store, rows, count, err);
}
