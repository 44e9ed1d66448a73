/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/ab_json.h"

static void put_text(struct json_writer *json, const char *key,
                     const char *value)
{
    json_key(json, key);
    json_put_text(json, value);
}

static void put_integer(struct json_writer *json, const char *key,
                        int64_t value)
{
    json_key(json, key);
    json_put_integer(json, value);
}

static void put_number(struct json_writer *json, const char *key, double value)
{
    json_key(json, key);
    json_put_double(json, value);
}

static void put_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_put_bool(json, value);
}

/* -1 is unknown. */
static void put_ms(struct json_writer *json, const char *key,
                   int64_t latency_us)
{
    json_key(json, key);
    if (latency_us < 0)
        json_put_null(json);
    else
        json_put_fixed(json, (double)latency_us / 1000, 3);
}

static void put_interval(struct json_writer *json, const char *key, double low,
                         double high)
{
    json_key(json, key);
    json_array_begin(json);
    json_put_double(json, low);
    json_put_double(json, high);
    json_array_end(json);
}

static void write_test(struct json_writer *json, const char *key,
                       const struct rollout_test *test)
{
    json_key(json, key);
    json_object_begin(json);
    put_bool(json, "is_done", test->is_done);
    put_number(json, "p_value", test->p_value);
    put_number(json, "alpha", test->alpha);
    put_number(json, "difference", test->diff);
    put_interval(json, "interval", test->low, test->high);
    json_object_end(json);
}

static void write_tests(struct json_writer *json,
                        const struct rollout_arm_report *arm)
{
    json_key(json, "test");
    if (arm->is_control) {
        json_put_null(json);
        return;
    }
    json_object_begin(json);
    write_test(json, "error_rate", &arm->errors);
    write_test(json, "accuracy", &arm->correctness);
    json_object_end(json);
}

static const char *role_of(const struct rollout_arm_report *arm)
{
    return arm->is_control  ? "control"
           : arm->is_shadow ? "shadow"
                            : "challenger";
}

static void write_arm(struct json_writer *json,
                      const struct rollout_arm_report *arm)
{
    json_object_begin(json);
    put_text(json, "version", arm->name);
    put_text(json, "role", role_of(arm));
    put_number(json, "weight", arm->weight);
    put_bool(json, "is_stopped", arm->is_stopped);
    put_integer(json, "requests", arm->request_count);
    put_integer(json, "errors", arm->error_count);
    put_number(json, "error_rate", arm->error_rate);
    put_ms(json, "latency_p50_ms", arm->latency_p50_us);
    put_ms(json, "latency_p95_ms", arm->latency_p95_us);
    put_number(json, "mean_confidence", arm->confidence_mean);
    put_integer(json, "compared", arm->compared_count);
    put_number(json, "agreement", arm->agreement);
    put_integer(json, "feedback", arm->feedback_count);
    put_integer(json, "correct", arm->correct_count);
    put_number(json, "accuracy", arm->accuracy);
    put_interval(json, "accuracy_interval", arm->accuracy_low,
                 arm->accuracy_high);
    write_tests(json, arm);
    put_text(json, "recommendation",
             arm->is_control ? NULL : rollout_advice_name(arm->advice));
    put_text(json, "reason", arm->reason);
    json_object_end(json);
}

void ab_write_report(struct json_writer *json,
                     const struct rollout_report *report)
{
    int i;

    json_object_begin(json);
    put_text(json, "test", "beta-binomial mixture e-value, always valid");
    put_number(json, "alpha", report->alpha);
    put_number(json, "margin", report->margin);
    put_integer(json, "sample_min", report->sample_min);
    put_bool(json, "is_auto_rollback", report->is_auto_rollback);
    json_key(json, "arms");
    json_array_begin(json);
    for (i = 0; i < report->arm_count; i++)
        write_arm(json, &report->arms[i]);
    json_array_end(json);
    put_text(json, "recommendation", rollout_advice_name(report->advice));
    put_text(json, "recommendation_version",
             report->advice_arm >= 0 ? report->arms[report->advice_arm].name
                                     : NULL);
    put_text(json, "reason", report->reason);
    json_object_end(json);
}
