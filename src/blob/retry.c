/* SPDX-License-Identifier: Apache-2.0 */
#include "blob/retry.h"

int64_t retry_pause_us(int pause_ms, int retry, uint64_t random)
{
    int64_t limit_ms = pause_ms;

    for (; retry > 0 && limit_ms < RETRY_PAUSE_MAX_MS; retry--)
        limit_ms *= 2;
    if (limit_ms > RETRY_PAUSE_MAX_MS)
        limit_ms = RETRY_PAUSE_MAX_MS;
    return (int64_t)(random % (uint64_t)(limit_ms * 1000 + 1));
}
