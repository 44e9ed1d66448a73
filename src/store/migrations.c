/* SPDX-License-Identifier: Apache-2.0 */
#include "store/migrations.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "store/store_text.h"

enum { SQL_LEN_MAX = 16384, SURVEY_COLUMNS = 5 };

/* What is there before anything is done. */
struct survey {
    bool has_migrations; /* the table olho_migrations */
    bool has_column[SCHEMA_COLUMN_COUNT_MAX];
    bool is_long[SCHEMA_COLUMN_COUNT_MAX];   /* a text without a limit */
    int chars[SCHEMA_COLUMN_COUNT_MAX];      /* room; 0: no limit */
    bool has_table[SCHEMA_COLUMN_COUNT_MAX]; /* by its first column */
    bool has_index[SCHEMA_COLUMN_COUNT_MAX];
    char obstacle[200]; /* "table.column" that we cannot fill; "": none */
    int version;        /* -1: not even begun */
    bool is_adopted;
};

/* Table, column, room in characters, type, and whether an INSERT must name
 * the column. */
static const char *const column_queries[DIALECT_COUNT] = {
    [DIALECT_SQLITE] =
        "SELECT m.name, p.name, NULL, lower(p.type), "
        "(p.\"notnull\" AND p.dflt_value IS NULL AND p.pk = 0) OR "
        "(p.pk > 0 AND upper(p.type) <> 'INTEGER') "
        "FROM sqlite_master m JOIN pragma_table_info(m.name) p "
        "WHERE m.type IN ('table', 'view')",
    [DIALECT_POSTGRES] =
        "SELECT table_name, column_name, character_maximum_length, data_type, "
        "CASE WHEN is_nullable = 'NO' AND column_default IS NULL AND "
        "is_identity = 'NO' AND is_generated = 'NEVER' THEN 1 ELSE 0 END "
        "FROM information_schema.columns WHERE table_schema = current_schema()",
    [DIALECT_MYSQL] =
        "SELECT table_name, column_name, character_maximum_length, data_type, "
        "CASE WHEN is_nullable = 'NO' AND column_default IS NULL AND "
        "extra NOT LIKE '%auto_increment%' AND extra NOT LIKE '%GENERATED%' "
        "THEN 1 ELSE 0 END "
        "FROM information_schema.columns WHERE table_schema = DATABASE()",
};

static const char *const index_queries[DIALECT_COUNT] = {
    [DIALECT_SQLITE] = "SELECT name FROM sqlite_master WHERE type = 'index'",
    [DIALECT_POSTGRES] =
        "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()",
    [DIALECT_MYSQL] = "SELECT DISTINCT index_name FROM "
                      "information_schema.statistics "
                      "WHERE table_schema = DATABASE()",
};

static bool is_ours(const char *table)
{
    int i;

    for (i = 0; i < schema_column_count; i++)
        if (strcasecmp(schema_columns[i].table, table) == 0)
            return true;
    return false;
}

/* Items are added by hand or by another program; the rest is written by the
 * service all the time. */
static void note_obstacle(struct survey *survey, const char *table,
                          const char *column)
{
    if (is_ours(table) && strcasecmp(table, "items") != 0 &&
        strcasecmp(table, "model_metrics") != 0 && survey->obstacle[0] == '\0')
        snprintf(survey->obstacle, sizeof survey->obstacle, "%.90s.%.90s",
                 table, column);
}

static int take_column(void *user, const struct store_field *fields, int count,
                       struct err *err)
{
    struct survey *survey = user;
    const char *table = fields[0].data, *name = fields[1].data;
    int64_t chars = store_field_integer(&fields[2], 0);
    bool is_known = false;
    int i;

    (void)err;
    assert(count == SURVEY_COLUMNS);
    if (strcasecmp(table, "olho_migrations") == 0)
        survey->has_migrations = true;
    for (i = 0; i < schema_column_count; i++) {
        if (strcasecmp(schema_columns[i].table, table) != 0)
            continue;
        survey->has_table[i] = true;
        if (strcasecmp(schema_columns[i].name, name) != 0)
            continue;
        is_known = schema_columns[i].type != COLUMN_ID;
        survey->has_column[i] = true;
        survey->is_long[i] =
            fields[3].data != NULL && (strstr(fields[3].data, "text") != NULL ||
                                       strstr(fields[3].data, "blob") != NULL);
        survey->chars[i] = chars > 0 && chars < INT32_MAX ? (int)chars : 0;
    }
    if (!is_known && store_field_integer(&fields[4], 0) != 0)
        note_obstacle(survey, table, name);
    return 0;
}

static int take_index(void *user, const struct store_field *fields, int count,
                      struct err *err)
{
    struct survey *survey = user;
    int i;

    (void)count;
    (void)err;
    for (i = 0; i < schema_index_count; i++)
        if (strcasecmp(schema_indexes[i].name, fields[0].data) == 0)
            survey->has_index[i] = true;
    return 0;
}

static int take_version(void *user, const struct store_field *fields, int count,
                        struct err *err)
{
    struct survey *survey = user;

    (void)count;
    (void)err;
    survey->version = (int)store_field_integer(&fields[0], -1);
    survey->is_adopted = store_field_integer(&fields[1], 0) != 0;
    return 0;
}

static int look(struct store_link *link, struct survey *survey, struct err *err)
{
    enum store_dialect dialect = link->store->ops->dialect;
    int rc, i;

    *survey = (struct survey){.version = -1};
    rc =
        store_run_once(link, column_queries[dialect], take_column, survey, err);
    if (rc == 0)
        rc = store_run_once(link, index_queries[dialect], take_index, survey,
                            err);
    if (rc == 0 && survey->has_migrations)
        rc = store_run_once(link,
                            "SELECT MAX(version), MAX(is_adopted) FROM "
                            "olho_migrations",
                            take_version, survey, err);
    if (rc == 0 && survey->version < 0)
        for (i = 0; i < schema_column_count; i++)
            survey->is_adopted = survey->is_adopted || survey->has_table[i];
    return rc;
}

static int run_sql(struct store_link *link, struct buf *sql, struct err *err)
{
    int rc = buf_check(sql, err);

    if (rc == 0)
        rc = store_run_once(link, sql->data, NULL, NULL, err);
    buf_clear(sql);
    return rc;
}

static int note_version(struct store_link *link, int version, bool is_adopted,
                        struct err *err)
{
    static const char begin[] = "before olho";
    const char *name = version > 0 ? schema_migration(version) : begin;
    const struct store_value values[] = {
        store_integer_value(version),
        {.kind = VALUE_TEXT, .data = name, .len = strlen(name)},
        store_integer_value(is_adopted),
    };

    return store_run(link,
                     "INSERT INTO olho_migrations (version, name, is_adopted) "
                     "VALUES (?, ?, ?)",
                     values, 3, NULL, NULL, err);
}

/* Version 0 remembers, before anything else is made, whose tables these were:
 * MariaDB commits each CREATE TABLE, so that a migration that was cut off must
 * not take its own tables for another program's. */
static int begin(struct store_link *link, struct survey *survey,
                 struct err *err)
{
    struct buf sql;
    int rc = 0;

    buf_init(&sql, SQL_LEN_MAX);
    if (!survey->has_migrations) {
        buf_add_text(&sql, "CREATE TABLE olho_migrations (version int PRIMARY "
                           "KEY, name varchar(100) NOT NULL, is_adopted int "
                           "NOT NULL, applied_at timestamp DEFAULT "
                           "CURRENT_TIMESTAMP)");
        rc = run_sql(link, &sql, err);
    }
    if (rc == 0 && survey->version < 0) {
        rc = note_version(link, 0, survey->is_adopted, err);
        survey->version = 0;
    }
    buf_release(&sql);
    return rc;
}

/* What column i and its table lack up to `version`. */
static int add_column(struct store_link *link, struct survey *survey, int i,
                      int version, struct err *err)
{
    const struct column *column = &schema_columns[i];
    enum store_dialect dialect = link->store->ops->dialect;
    struct buf sql;
    int first, count, j, rc;

    if (survey->has_column[i] || column->version > version)
        return 0;
    buf_init(&sql, SQL_LEN_MAX);
    if (survey->has_table[i]) {
        schema_add_column(column, dialect, &sql);
        rc = run_sql(link, &sql, err);
        survey->has_column[i] = true;
        buf_release(&sql);
        return rc;
    }
    schema_create_table(column->table, version, dialect, !survey->is_adopted,
                        &sql);
    rc = run_sql(link, &sql, err);
    schema_find(column->table, &first, &count);
    for (j = first; j < first + count; j++) {
        survey->has_table[j] = true;
        survey->has_column[j] = schema_columns[j].version <= version;
    }
    buf_release(&sql);
    return rc;
}

static int add_index(struct store_link *link, const struct survey *survey,
                     int i, struct err *err)
{
    const struct column_index *index = &schema_indexes[i];
    bool is_long = false;
    struct buf sql;
    int j, rc;

    if (survey->has_index[i])
        return 0;
    for (j = 0; j < schema_column_count; j++)
        if (strcmp(schema_columns[j].table, index->table) == 0 &&
            strcmp(schema_columns[j].name, index->column) == 0)
            is_long = survey->is_long[j];
    buf_init(&sql, SQL_LEN_MAX);
    schema_create_index(index, link->store->ops->dialect, is_long, &sql);
    rc = run_sql(link, &sql, err);
    buf_release(&sql);
    return rc;
}

static int apply(struct store_link *link, struct survey *survey, int version,
                 struct err *err)
{
    int i, rc = 0;

    for (i = 0; rc == 0 && i < schema_column_count; i++)
        rc = add_column(link, survey, i, version, err);
    for (i = 0; rc == 0 && i < schema_index_count; i++)
        if (schema_indexes[i].version == version)
            rc = add_index(link, survey, i, err);
    if (rc == 0)
        rc = note_version(link, version, survey->is_adopted, err);
    if (rc)
        return err_wrap(err, "migration %d (%s)", version,
                        schema_migration(version));
    survey->version = version;
    return 0;
}

static int check_survey(const struct store *store, const struct survey *survey,
                        struct err *err)
{
    int latest = schema_version_latest();

    if (survey->version > latest)
        return err_set(err, ERR_UNSUPPORTED,
                       "the database %s has version %d, made by a newer olho; "
                       "this one knows versions up to %d",
                       store->name, survey->version, latest);
    if (survey->obstacle[0] != '\0')
        return err_set(err, ERR_UNPROCESSABLE,
                       "the column %s of the database %s must be filled, and "
                       "olho has nothing to fill it with; give it a default",
                       survey->obstacle, store->name);
    return 0;
}

static int migrate_locked(struct store_link *link, int *out_applied,
                          struct err *err)
{
    int latest = schema_version_latest(), rc;
    struct survey survey;

    rc = look(link, &survey, err);
    if (rc == 0)
        rc = check_survey(link->store, &survey, err);
    if (rc == 0)
        rc = begin(link, &survey, err);
    while (rc == 0 && survey.version < latest) {
        rc = apply(link, &survey, survey.version + 1, err);
        ++*out_applied;
    }
    return rc;
}

static void keep_chars(struct store *store, const struct survey *survey)
{
    int i;

    for (i = 0; i < schema_column_count; i++)
        atomic_store_explicit(&store->column_chars[i], survey->chars[i],
                              memory_order_relaxed);
}

static int learn(struct store_link *link, void *user, struct err *err)
{
    struct survey survey;
    int rc = look(link, &survey, err);

    (void)user;
    if (rc == 0)
        keep_chars(link->store, &survey);
    return rc;
}

int migrations_learn(struct store *store, struct err *err)
{
    return store_call_plain(store, false, learn, NULL, err);
}

int store_migrate(struct store *store, int *out_applied, struct err *err)
{
    struct err ignored = {0};
    struct store_link *link = NULL;
    int applied = 0, rc;

    if (store->options.is_read_only)
        return err_set(err, ERR_INVALID,
                       "the database %s was opened for reading only",
                       store->name);
    rc = store_connect_long(store, &link, err);
    if (rc)
        return rc;
    rc = store->ops->lock(link, err);
    if (rc)
        goto out;
    rc = migrate_locked(link, &applied, err);
    if (store->ops->unlock(link, rc == 0, rc == 0 ? err : &ignored) != 0 &&
        rc == 0)
        rc = err->code;
    if (rc == 0)
        rc = learn(link, NULL, err);
    if (rc == 0) {
        atomic_store(&store->is_settled, true);
        if (out_applied != NULL)
            *out_applied = applied;
    }
out:
    store->ops->disconnect(link);
    return rc;
}

static int take_count(void *user, const struct store_field *fields, int count,
                      struct err *err)
{
    (void)count;
    (void)err;
    *(int64_t *)user = store_field_integer(&fields[0], 0);
    return 0;
}

static int count_rows(struct store_link *link, const struct survey *survey,
                      const char *table, int64_t *out, struct err *err)
{
    int first, count, rc;
    struct buf sql;

    schema_find(table, &first, &count);
    *out = 0;
    if (!survey->has_table[first])
        return 0;
    buf_init(&sql, SQL_LEN_MAX);
    buf_printf(&sql, "SELECT COUNT(*) FROM \"%s\"", table);
    rc = buf_check(&sql, err);
    if (rc == 0)
        rc = store_run_once(link, sql.data, take_count, out, err);
    buf_release(&sql);
    return rc;
}

static int read_state(struct store_link *link, struct store_state *out,
                      struct err *err)
{
    static const char *const tables[STORE_TABLE_COUNT] = {
        [STORE_PREDICTIONS] = "predictions",
        [STORE_LOGS] = "inference_logs",
        [STORE_AB] = "ab_test_results",
        [STORE_FEEDBACK] = "feedback",
    };
    struct store_state state = {.version_latest = schema_version_latest()};
    struct survey survey;
    int i, rc = look(link, &survey, err);

    for (i = 0; rc == 0 && i < STORE_TABLE_COUNT; i++)
        rc = count_rows(link, &survey, tables[i], &state.rows[i], err);
    if (rc == 0)
        rc = count_rows(link, &survey, "items", &state.items, err);
    if (rc == 0)
        rc = count_rows(link, &survey, "model_metrics", &state.metrics, err);
    if (rc)
        return rc;
    state.version = survey.version > 0 ? survey.version : 0;
    state.is_adopted = survey.is_adopted;
    *out = state;
    return 0;
}

int store_state(struct store *store, struct store_state *out, struct err *err)
{
    struct store_link *link = NULL;
    int rc = store_connect_long(store, &link, err);

    if (rc)
        return rc;
    rc = read_state(link, out, err);
    store->ops->disconnect(link);
    return rc;
}
