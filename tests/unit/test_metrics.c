/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "obs/metrics.h"

/* Metrics last as long as the process, so each test uses labels of its own
 * and looks at what it added. */
static const char *printed(void)
{
    static struct buf out;
    struct err err = {0};

    buf_release(&out);
    buf_init(&out, 4 << 20);
    metrics_print(&out);
    CHECK_OK(buf_check(&out, &err), err);
    return out.data;
}

TEST(metrics_count_by_labels)
{
    metrics_add(METRIC_HTTP_REQUESTS, "/count", "200", 2);
    metrics_add(METRIC_HTTP_REQUESTS, "/count", "200", 3);
    metrics_add(METRIC_HTTP_REQUESTS, "/count", "404", 1);
    CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, "/count", "200"), 5, 0);
    CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, "/count", "404"), 1, 0);
    CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, "/count", "500"), 0, 0);
    CHECK_HAS(printed(), "\nolho_http_requests_total{route=\"/count\","
                         "status=\"200\"} 5\n");
}

TEST(metrics_copy_their_labels)
{
    char label[] = "/first";

    metrics_add(METRIC_HTTP_REQUESTS, label, "200", 1);
    memcpy(label, "/other", 6);
    metrics_add(METRIC_HTTP_REQUESTS, label, "200", 1);
    CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, "/first", "200"), 1, 0);
    CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, "/other", "200"), 1, 0);
}

TEST(metrics_gauges_go_up_and_down)
{
    double before = metrics_get(METRIC_UPLOAD_BYTES, NULL, NULL);

    metrics_add(METRIC_UPLOAD_BYTES, NULL, NULL, 100);
    metrics_add(METRIC_UPLOAD_BYTES, NULL, NULL, -40);
    CHECK_NEAR(metrics_get(METRIC_UPLOAD_BYTES, NULL, NULL), before + 60, 0);
    metrics_add(METRIC_UPLOAD_BYTES, NULL, NULL, -60);
    metrics_set(METRIC_MODEL_READY, "gauge", NULL, 1);
    metrics_set(METRIC_MODEL_READY, "gauge", NULL, 0.25);
    CHECK_NEAR(metrics_get(METRIC_MODEL_READY, "gauge", NULL), 0.25, 0);
    CHECK_HAS(printed(), "\nolho_model_ready{model=\"gauge\"} 0.25\n");
}

TEST(metrics_histograms_cumulate_their_buckets)
{
    const char *text;

    metrics_observe(METRIC_PHASE_SECONDS, "histogram", NULL, 0.0004);
    metrics_observe(METRIC_PHASE_SECONDS, "histogram", NULL, 0.0005);
    metrics_observe(METRIC_PHASE_SECONDS, "histogram", NULL, 0.25);
    metrics_observe(METRIC_PHASE_SECONDS, "histogram", NULL, 11);
    metrics_observe(METRIC_PHASE_SECONDS, "histogram", NULL, (double)NAN);
    CHECK_NEAR(metrics_get(METRIC_PHASE_SECONDS, "histogram", NULL), 4, 0);
    text = printed();
    CHECK_HAS(text, "_bucket{phase=\"histogram\",le=\"0.0005\"} 2\n");
    CHECK_HAS(text, "_bucket{phase=\"histogram\",le=\"0.2\"} 2\n");
    CHECK_HAS(text, "_bucket{phase=\"histogram\",le=\"0.3\"} 3\n");
    CHECK_HAS(text, "_bucket{phase=\"histogram\",le=\"10\"} 3\n");
    CHECK_HAS(text, "_bucket{phase=\"histogram\",le=\"+Inf\"} 4\n");
    CHECK_HAS(text, "olho_phase_seconds_sum{phase=\"histogram\"} 11.2509\n");
    CHECK_HAS(text, "olho_phase_seconds_count{phase=\"histogram\"} 4\n");
}

TEST(metrics_of_ratios_have_bounds_up_to_one)
{
    const char *text;

    metrics_observe(METRIC_CONFIDENCE, "ratio", NULL, 0.95);
    metrics_observe(METRIC_CONFIDENCE, "ratio", NULL, 1);
    text = printed();
    CHECK_HAS(text, "_bucket{model=\"ratio\",le=\"0.9\"} 0\n");
    CHECK_HAS(text, "_bucket{model=\"ratio\",le=\"1\"} 2\n");
    CHECK(strstr(text, "model=\"ratio\",le=\"2.5\"") == NULL);
}

TEST(metrics_escape_label_values)
{
    metrics_add(METRIC_HTTP_SHED, "a\"b\\c\nd", NULL, 1);
    CHECK_HAS(printed(),
              "\nolho_http_shed_total{reason=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST(metrics_past_the_maximum_count_as_other)
{
    char label[32];
    double other;
    int i;

    for (i = 0; i < METRICS_SERIES_MAX + 50; i++) {
        snprintf(label, sizeof label, "version-%d", i);
        metrics_add(METRIC_PREDICTIONS, label, "true", 1);
    }
    other = metrics_get(METRIC_PREDICTIONS, "other", "other");
    CHECK(other >= 51);
    metrics_add(METRIC_PREDICTIONS, "version-0", "true", 1);
    CHECK_NEAR(metrics_get(METRIC_PREDICTIONS, "version-0", "true"), 2, 0);
    metrics_add(METRIC_PREDICTIONS, "version-9999", "true", 5);
    CHECK_NEAR(metrics_get(METRIC_PREDICTIONS, "other", "other"), other + 5, 0);
    CHECK_NEAR(metrics_get(METRIC_PREDICTIONS, "version-9999", "true"), 0, 0);
}

TEST(metrics_print_starts_each_metric_with_help_and_type)
{
    const char *text = printed();

    CHECK_HAS(text, "# HELP olho_http_requests_total Requests answered.\n"
                    "# TYPE olho_http_requests_total counter\n");
    CHECK_HAS(text, "# TYPE olho_queue_seconds histogram\n"
                    "olho_queue_seconds_bucket{le=\"0.0005\"} ");
    CHECK_HAS(text, "\nolho_http_connections ");
    CHECK_HAS(text, "\nprocess_resident_memory_bytes ");
    CHECK_HAS(text, "\nprocess_cpu_seconds_total ");
    CHECK_HAS(text, "\nprocess_open_fds ");
    CHECK_HAS(text, "\nprocess_threads ");
    CHECK_HAS(text, "\nprocess_start_time_seconds ");
}

/* The number behind "\nname ". */
static double figure(const char *text, const char *name)
{
    char start[64];
    const char *found;
    double value = -1;

    snprintf(start, sizeof start, "\n%s ", name);
    found = strstr(text, start);
    CHECK(found != NULL);
    CHECK_INT(sscanf(found + strlen(start), "%lf", &value), 1);
    return value;
}

TEST(metrics_process_figures_are_plausible)
{
    const char *text = printed();

    CHECK(figure(text, "process_resident_memory_bytes") > 1 << 20);
    CHECK(figure(text, "process_virtual_memory_bytes") >
          figure(text, "process_resident_memory_bytes"));
    CHECK(figure(text, "process_open_fds") >= 3);
    CHECK(figure(text, "process_max_fds") >= figure(text, "process_open_fds"));
    CHECK(figure(text, "process_threads") >= 1);
    CHECK(figure(text, "process_start_time_seconds") > 1.7e9);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *count(void *user)
{
    char label[32];
    int i;

    (void)user;
    for (i = 0; i < ROUNDS; i++) {
        snprintf(label, sizeof label, "race-%d", i % 50);
        metrics_add(METRIC_HTTP_REQUESTS, label, "200", 1);
        metrics_observe(METRIC_HTTP_SECONDS, "race", NULL, 0.5);
        metrics_add(METRIC_INDEX_ITEMS, NULL, NULL, 1);
    }
    return NULL;
}

TEST(metrics_lose_nothing_when_threads_add_series_at_once)
{
    pthread_t threads[THREADS];
    char label[32];
    int i;

    metrics_set(METRIC_INDEX_ITEMS, NULL, NULL, 0);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, count, NULL), 0);
    CHECK(printed() != NULL);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < 50; i++) {
        snprintf(label, sizeof label, "race-%d", i);
        CHECK_NEAR(metrics_get(METRIC_HTTP_REQUESTS, label, "200"),
                   THREADS * ROUNDS / 50, 0);
    }
    CHECK_NEAR(metrics_get(METRIC_HTTP_SECONDS, "race", NULL), THREADS * ROUNDS,
               0);
    CHECK_NEAR(metrics_get(METRIC_INDEX_ITEMS, NULL, NULL), THREADS * ROUNDS,
               0);
    CHECK_HAS(printed(),
              "\nolho_http_request_seconds_sum{route=\"race\"} 10000\n");
}

TEST(metrics_document_has_a_row_for_each)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    metrics_document(&out);
    CHECK_HAS(out.data, "\n| `olho_http_requests_total` | counter | `route`, "
                        "`status` | Requests answered. |\n");
    CHECK_HAS(out.data, "\n| `olho_queue_seconds` | histogram | |");
    CHECK_HAS(out.data, "\n| `process_open_fds` | gauge | |");
    buf_release(&out);
}
