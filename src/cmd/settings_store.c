/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/settings_store.h"

#include "apps/database.h"
#include "store/store_url.h"

int settings_store_open(const struct config *config, bool is_read_only,
                        struct store **out, struct err *err)
{
    struct store_options options = database_options(config);
    char url[STORE_URL_MAX];
    int rc;

    options.is_read_only = is_read_only;
    rc = database_url(config, url, sizeof url, err);
    return rc ? rc : store_open(url, &options, out, err);
}
