/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of what was measured: one panel for each figure, one bar for each
 * store, the same colour throughout. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/bench.h"

/* All in px. */
enum {
    WIDTH = 1000,
    MARGIN = 40,
    COLUMNS = 2,
    GUTTER = 56,
    PANEL_WIDTH = (WIDTH - 2 * MARGIN - GUTTER) / COLUMNS,
    HEAD = 92,       /* title and what was measured */
    LEGEND_ROW = 26, /* of one store */
    TITLE = 46,      /* of a panel, with its unit */
    BAR = 24,
    BAR_GAP = 10,
    PANEL_GAP = 36,
    VALUE_WIDTH = 92, /* for the number behind a bar */
    FOOT = 44,
};

enum { NAME_MAX_SHOWN = 80 }; /* bytes of a store's name */

static const double mb = 1 << 20;

static const char *const colours[BENCH_STORES_MAX] = {
    "#2166ac", "#e08214", "#1b7837", "#8073ac",
    "#b2182b", "#35978f", "#8c510a", "#636363"};

/* --- the figures ---------------------------------------------------------- */

typedef double value_fn(const struct bench_figures *figures);

static double singles_value(const struct bench_figures *figures)
{
    return bench_rate(figures->single_count, &figures->singles);
}

static double batches_value(const struct bench_figures *figures)
{
    return figures->batch_count > 0
               ? bench_rate(figures->batch_count, &figures->batches)
               : NAN;
}

static double index_value(const struct bench_figures *figures)
{
    return figures->batches.wall_s + figures->indexed.wall_s;
}

static double load_value(const struct bench_figures *figures)
{
    const struct bench_phase both = {
        figures->batches.wall_s + figures->indexed.wall_s,
        figures->batches.cpu_s + figures->indexed.cpu_s};

    return bench_load(&both);
}

static double memory_value(const struct bench_figures *figures)
{
    return figures->memory_len / mb;
}

static double mean_value(const struct bench_figures *figures)
{
    return figures->mean_ms;
}

static double p95_value(const struct bench_figures *figures)
{
    return figures->p95_ms;
}

static double recall_value(const struct bench_figures *figures)
{
    return figures->recall;
}

static const struct panel {
    const char *title, *unit, *hint;
    value_fn *value;
    double full; /* of the longest bar; 0: the largest value */
} panels[] = {
    {"Added one by one", "rows a second", "more is better", singles_value, 0},
    {"Added in batches of 1000", "rows a second", "more is better",
     batches_value, 0},
    {"Batches until all are indexed", "seconds", "less is better", index_value,
     0},
    {"Processor load meanwhile", "busy cores", "", load_value, 0},
    {"Memory added, without mapped files", "MB", "less is better", memory_value,
     0},
    {"Recall against all vectors", "share of the true neighbours",
     "more is better", recall_value, 1},
    {"A search on average", "milliseconds", "less is better", mean_value, 0},
    {"95 % of searches are faster than", "milliseconds", "less is better",
     p95_value, 0},
};

enum { PANEL_COUNT = sizeof panels / sizeof panels[0] };

/* --- drawing -------------------------------------------------------------- */

static void add_text(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            buf_add_text(out, "&amp;");
        else if (*text == '<')
            buf_add_text(out, "&lt;");
        else if (*text == '>')
            buf_add_text(out, "&gt;");
        else if ((unsigned char)*text >= 0x20)
            buf_add_char(out, *text);
    }
}

static void draw_text(struct buf *out, double x, double y, const char *kind,
                      const char *text)
{
    buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, kind);
    add_text(out, text);
    buf_add_text(out, "</text>\n");
}

static void draw_bar(struct buf *out, double x, double y, double len,
                     const char *colour)
{
    buf_printf(out,
               "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" "
               "rx=\"2\" fill=\"%s\"/>\n",
               x, y, len < 1.5 ? 1.5 : len, BAR, colour);
}

static double largest(const struct panel *panel,
                      const struct bench_figures *figures, int count)
{
    double most = panel->full, value;
    int i;

    for (i = 0; i < count && panel->full <= 0; i++) {
        value = panel->value(&figures[i]);
        most = value > most ? value : most;
    }
    return most > 0 ? most : 1;
}

static void draw_value(struct buf *out, const struct panel *panel,
                       const struct bench_figures *figures, double x, double y,
                       double scale, const char *colour)
{
    double value = panel->value(figures);
    char text[BENCH_NUMBER_LEN];

    if (!isfinite(value)) {
        draw_text(out, x + 6, y + BAR * 0.7, "none", "not known");
        return;
    }
    draw_bar(out, x, y, value * scale, colour);
    if (panel->full > 0)
        snprintf(text, sizeof text, "%.4f", value);
    else
        bench_number(value, text);
    draw_text(out, x + value * scale + 8, y + BAR * 0.7, "value", text);
}

static void draw_panel(struct buf *out, const struct panel *panel,
                       const struct bench_figures *figures, int count, double x,
                       double y)
{
    double room = PANEL_WIDTH - VALUE_WIDTH;
    double scale = room / largest(panel, figures, count);
    double bars = count * (BAR + BAR_GAP) - BAR_GAP;
    int i;

    draw_text(out, x, y + 14, "title", panel->title);
    buf_printf(out,
               "<text x=\"%.1f\" y=\"%.1f\" class=\"unit\">%s%s%s</text>\n", x,
               y + 32, panel->unit, panel->hint[0] != '\0' ? " \u00b7 " : "",
               panel->hint);
    for (i = 0; i < count; i++)
        draw_value(out, panel, &figures[i], x,
                   y + TITLE + (double)i * (BAR + BAR_GAP), scale, colours[i]);
    buf_printf(out,
               "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
               "class=\"axis\"/>\n",
               x, y + TITLE - 5, x, y + TITLE + bars + 5);
}

static void draw_legend(struct buf *out, const struct bench_figures *figures,
                        int count)
{
    struct buf line;
    int i;

    buf_init(&line, 1 << 16);
    for (i = 0; i < count; i++) {
        const struct vec_info *info = &figures[i].info;
        double y = HEAD + i * LEGEND_ROW;
        size_t len;

        buf_clear(&line);
        len = strlen(figures[i].store);
        if (len > NAME_MAX_SHOWN)
            buf_add_text(&line, "...");
        buf_add_text(&line,
                     figures[i].store +
                         (len > NAME_MAX_SHOWN ? len - NAME_MAX_SHOWN : 0));
        if (info->version[0] != '\0')
            buf_printf(&line, " (%s %s)", info->backend, info->version);
        buf_printf(&line, ", %s, %s", vecindex_type_name(info->type),
                   figures[i].is_exact ? "exact" : "approximate");
        buf_printf(out,
                   "<rect x=\"%d\" y=\"%.1f\" width=\"14\" height=\"14\" "
                   "rx=\"2\" fill=\"%s\"/>\n",
                   MARGIN, y, colours[i]);
        draw_text(out, MARGIN + 22, y + 12, "legend",
                  line.data != NULL ? line.data : "");
    }
    buf_release(&line);
}

static void draw_head(struct buf *out, const struct bench_data *data,
                      int height)
{
    struct buf text;

    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
               "height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n"
               "<title>Stores of vectors, measured</title>\n"
               "<style>\n"
               "text { font-family: Inter, \"Segoe UI\", \"Helvetica Neue\", "
               "Arial, \"Liberation Sans\", sans-serif; fill: #1f2933; }\n"
               ".head { font-size: 24px; font-weight: 600; }\n"
               ".sub { font-size: 14px; fill: #52606d; }\n"
               ".legend { font-size: 14px; }\n"
               ".title { font-size: 15px; font-weight: 600; }\n"
               ".unit { font-size: 12px; fill: #7b8794; }\n"
               ".value { font-size: 13px; font-variant-numeric: tabular-nums; "
               "}\n"
               ".none { font-size: 13px; font-style: italic; fill: #9aa5b1; }\n"
               ".axis { stroke: #9aa5b1; stroke-width: 1; }\n"
               "</style>\n"
               "<rect width=\"%d\" height=\"%d\" fill=\"#fbfcfd\"/>\n",
               WIDTH, height, WIDTH, height, WIDTH, height);
    draw_text(out, MARGIN, 46, "head", "Stores of vectors, measured");
    buf_init(&text, 1 << 16);
    bench_describe(data, &text);
    draw_text(out, MARGIN, 70, "sub", text.data != NULL ? text.data : "");
    buf_release(&text);
}

void bench_draw(const struct bench_data *data,
                const struct bench_figures *figures, int count, struct buf *out)
{
    int rows = (PANEL_COUNT + COLUMNS - 1) / COLUMNS;
    int panel_height = TITLE + count * (BAR + BAR_GAP) - BAR_GAP + PANEL_GAP;
    int top = HEAD + count * LEGEND_ROW + 24;
    int i;

    draw_head(out, data, top + rows * panel_height - PANEL_GAP + FOOT);
    draw_legend(out, figures, count);
    for (i = 0; i < PANEL_COUNT; i++) {
        int row = i / COLUMNS, column = i % COLUMNS;

        draw_panel(out, &panels[i], figures, count,
                   MARGIN + column * (PANEL_WIDTH + GUTTER),
                   top + row * panel_height);
    }
    buf_add_text(out, "</svg>\n");
}
