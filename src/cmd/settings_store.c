/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/settings_store.h"

#include "base/file.h"
#include "store/store_url.h"

int settings_store_open(const struct config *config, bool is_read_only,
                        struct store **out, struct err *err)
{
    char home[FILE_PATH_MAX] = "", url[STORE_URL_MAX];
    const struct store_options options = {
        .connection_max = (int)config->store_connection_max,
        .timeout_ms = (int)(config->store_timeout_s * 1000 + 0.5),
        .is_read_only = is_read_only,
    };
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
    if (rc == 0)
        rc = store_url_of(&settings, url, sizeof url, err);
    return rc ? rc : store_open(url, &options, out, err);
}
