/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#define JSON_FLAG                                                 \
    {                                                             \
        "json", NULL, "One JSON object per line instead of text." \
    }

#define COLLECTION_FLAG                                                    \
    {                                                                      \
        "collection", "WHERE",                                             \
            "A file or milvus://HOST[:PORT]/NAME; else the model's index." \
    }

#define WHERE_FLAG                                                            \
    {                                                                         \
        "where", "TERM",                                                      \
            "Only entries with label=cat,dog or label!=cat; may be repeated." \
    }

#define METRIC_FLAG                                                          \
    {                                                                        \
        "metric", "METRIC", "L2 (the preset), IP or cosine, of a new index." \
    }

/* How an index is made that is not there yet. */
#define MAKING_FLAGS                                                  \
    {"type", "TYPE",                                                  \
     "Type of a new index: auto (the preset), flat, ivf, hnsw."},     \
        {"storage", "KIND",                                           \
         "Rows in memory: int8 (the preset), float16, "               \
         "bfloat16 or float32."},                                     \
        {"links", "N", "HNSW: M, links of an entry (16)."},           \
        {"ef-construction", "N", "HNSW: breadth of building (200)."}, \
        {"ef-search", "N", "HNSW: breadth of a search (64)."},        \
        {"nlist", "N", "IVF: lists."},                                \
        {"nprobe", "N", "IVF: lists that a search looks at (10)."},   \
    {                                                                 \
        "threads", "N", "Threads that build it (one for each core)."  \
    }

const struct command commands[] = {
    {"serve", "", "Serve the HTTP API.", command_serve, 0, 0, {{0}}},
    {"classify",
     "FILE|DIR|-...",
     "Say what is on images.",
     command_classify,
     1,
     -1,
     {JSON_FLAG}},
    {"similar",
     "FILE|-...",
     "Find indexed images that look like these.",
     command_similar,
     1,
     -1,
     {JSON_FLAG, {"k", "N", "Images to find (SIMILAR_K)."}}},
    {"index add",
     "FILE|DIR|-...",
     "Add images, or vectors of .npy and JSON lines, to the index.",
     command_index_add,
     1,
     -1,
     {{"label", "TEXT", "Label of what is added."},
      {"label-from-folder", NULL, "Label each image with its folder's name."},
      {"tag", "NAME=VALUE", "A tag of what is added; may be repeated."},
      {"names", "FILE", "Names of the vectors of .npy, in .json or .npy."},
      COLLECTION_FLAG,
      METRIC_FLAG,
      MAKING_FLAGS}},
    {"index build",
     "FROM TO",
     "Make a FAISS file of one, or of .npy, with another type.",
     command_index_build,
     2,
     2,
     {{"type", "TYPE", "Flat, IVFFlat, HNSW or auto; as FROM when absent."},
      {"metric", "METRIC", "L2, IP or cosine; as FROM when absent."},
      {"nlist", "N", "IVFFlat: lists."},
      {"nprobe", "N", "IVFFlat: lists that a search looks at."},
      {"links", "N", "HNSW: M, links of an entry."},
      {"ef-construction", "N", "HNSW: breadth of the search for links."},
      {"ef-search", "N", "HNSW: breadth of a search."},
      {"threads", "N", "Threads that build; 1 is repeatable."}}},
    {"index check",
     "[FILE|URL...]",
     "Read indexes, FAISS and .npy files whole and say what is in them.",
     command_index_check,
     0,
     -1,
     {JSON_FLAG, COLLECTION_FLAG}},
    {"index compact",
     "",
     "Rewrite the index without what was removed.",
     command_index_compact,
     0,
     0,
     {COLLECTION_FLAG}},
    {"index export",
     "FILE|-",
     "Write the index to a FAISS file, to .npy or to JSON lines.",
     command_index_export,
     1,
     1,
     {{"labels", "FILE", "Write the paths of its images to .npy or .json."},
      {"type", "TYPE", "Flat (the preset), IVFFlat, HNSW or auto."},
      COLLECTION_FLAG}},
    {"index import",
     "FILE|-",
     "Add the vectors of a FAISS or .npy file, or of JSON lines, to the index.",
     command_index_import,
     1,
     1,
     {{"labels", "FILE", "Paths of their images, in .npy or .json."},
      COLLECTION_FLAG,
      METRIC_FLAG,
      MAKING_FLAGS}},
    {"index info",
     "",
     "Say what is in the index.",
     command_index_info,
     0,
     0,
     {JSON_FLAG, COLLECTION_FLAG}},
    {"index remove",
     "[FILE|DIR...]",
     "Remove entries: images by content or path, or what the flags name.",
     command_index_remove,
     0,
     -1,
     {{"id", "N", "The entry with that id; may be repeated."},
      {"key", "KEY", "The entry with that key; may be repeated."},
      WHERE_FLAG,
      {"dry-run", NULL, "Only count what would go."},
      COLLECTION_FLAG}},
    {"index search",
     "[IMAGE...|FILE]",
     "Find the nearest of images, or of vectors, also in a FAISS or .npy FILE.",
     command_index_search,
     0,
     -1,
     {{"vector", "FILE|JSON",
       "Vectors to look for: .npy, JSON lines, or one as [0.1,...]."},
      {"k", "N", "Neighbours of each (10)."},
      {"radius", "X",
       "Only what is as near: squared distance (L2), or else similarity."},
      WHERE_FLAG,
      {"exact", NULL, "Look at every vector."},
      {"nprobe", "N", "IVF: lists to look at."},
      {"ef-search", "N", "HNSW: breadth of the search."},
      {"type", "TYPE", "FILE as Flat, IVFFlat, HNSW or auto."},
      {"metric", "METRIC", "FILE by L2, IP or cosine."},
      COLLECTION_FLAG,
      JSON_FLAG}},
    {"bench vectors",
     "",
     "Measure how stores of vectors take in, index and find them.",
     command_bench_vectors,
     0,
     0,
     {{"store", "WHERE",
       "A file or milvus://HOST[:PORT]/NAME; may be repeated (a new file)."},
      {"embeddings", "FILE", "Vectors, in .npy; else they are made up."},
      {"names", "FILE", "Their names, in .json or .npy."},
      {"rows", "N", "Vectors to make up, in clusters (20000)."},
      {"dim", "N", "Their length (1024)."},
      {"seed", "N", "What they follow from (1)."},
      {"queries", "N", "Searches (100)."},
      {"k", "N", "Neighbours of each (5)."},
      {"force", NULL, "Also into a store that holds something already."},
      {"keep", NULL, "Leave the stores that were made."},
      {"server-pid", "N",
       "Process here whose load and memory count for a URL."},
      {"svg", "FILE", "Draw the figures."},
      JSON_FLAG,
      {"metric", "METRIC", "cosine (the preset), L2 or IP."},
      MAKING_FLAGS}},
    {"model show",
     "[DIR|NAME]",
     "Print what was understood of a model folder.",
     command_model_show,
     0,
     1,
     {JSON_FLAG}},
    {"model import",
     "FILE|DIR",
     "Make a model folder of a Keras or ONNX file.",
     command_model_import,
     1,
     1,
     {{"out", "DIR", "The new folder (models/NAME)."},
      {"embedding", "LAYER",
       "Layer whose output is the embedding (one named embedding..., else what "
       "enters the last one)."}}},
    {"model list",
     "",
     "List the versions of a model.",
     command_model_list,
     0,
     0,
     {JSON_FLAG,
      {"quick", NULL, "Do not read the files for their checksums."}}},
    {"model check",
     "[DIR|NAME|VERSION]",
     "Verify checksums, load a model, and run it on its sample.",
     command_model_check,
     0,
     1,
     {{"write", NULL, "Store what the model says now as its sample."},
      {"image", "FILE", "The sample's image for --write; else noise."}}},
    {"model promote",
     "VERSION",
     "Check a version and make it the current one.",
     command_model_promote,
     1,
     1,
     {{"pid", "N", "Tell the server with that process id (SIGHUP)."}}},
    {"model rollback",
     "",
     "Make the version before the current one current again.",
     command_model_rollback,
     0,
     0,
     {{"pid", "N", "Tell the server with that process id (SIGHUP)."}}},
    {"model quantize",
     "DIR|NAME",
     "Make an int8 copy of a model and compare the two.",
     command_model_quantize,
     1,
     1,
     {{"out", "DIR", "The folder to make."},
      {"mode", "weights|static",
       "Store weights as int8, or compute in 8 bits (static, the preset)."},
      {"images", "DIR",
       "Photographs: half of them calibrate, the others compare."},
      {"min-agreement", "SHARE",
       "Least agreement where the model is sure (0.99), or nothing is "
       "written."},
      JSON_FLAG}},
    {"model remove",
     "VERSION",
     "Delete a version that is not the current one.",
     command_model_remove,
     1,
     1,
     {{"yes", NULL, "Do not ask."}}},
    {"ab",
     "",
     "Show how the versions of a running server compare.",
     command_ab,
     0,
     0,
     {JSON_FLAG,
      {"address", "URL", "Of the server; else this machine's FLASK_PORT."},
      {"key", "KEY", "API key; else $OLHO_KEY."},
      {"watch", NULL, "Show it anew every two seconds."}}},
    {"store migrate",
     "",
     "Make or update the tables of the database.",
     command_store_migrate,
     0,
     0,
     {{0}}},
    {"store status",
     "",
     "Say what is in the database.",
     command_store_status,
     0,
     0,
     {JSON_FLAG}},
    {"store export",
     "[FILE]",
     "Write every row of the database as a line of JSON.",
     command_store_export,
     0,
     1,
     {{0}}},
    {"store import",
     "FILE|-",
     "Add the rows of an export to the database.",
     command_store_import,
     1,
     1,
     {{0}}},
    {"routes", "", "Print the HTTP routes.", command_routes, 0, 0, {{0}}},
    {"config",
     "",
     "Print the settings and where each comes from.",
     command_config,
     0,
     0,
     {JSON_FLAG}},
    {"docs",
     "api|commands|config|errors|metrics",
     "Print a page of the documentation as Markdown.",
     command_docs,
     1,
     1,
     {{0}}},
    {"version",
     "",
     "Print the version and what is built in.",
     command_version,
     0,
     0,
     {JSON_FLAG}},
    {"help", "[COMMAND]", "Print help.", command_help_run, 0, 2, {{0}}},
};

const int command_count = sizeof commands / sizeof commands[0];

static void add_flags(const struct command *command, struct buf *out)
{
    char left[64];
    int i;

    for (i = 0; i < COMMAND_FLAGS_MAX && command->flags[i].name != NULL; i++) {
        snprintf(left, sizeof left, "--%s%s%s", command->flags[i].name,
                 command->flags[i].value != NULL ? " " : "",
                 command->flags[i].value != NULL ? command->flags[i].value
                                                 : "");
        buf_printf(out, "  %-24s %s\n", left, command->flags[i].help);
    }
    buf_printf(out, "  %-24s %s\n", "--help", "Print this help.");
}

void command_help(const struct command *command, struct buf *out)
{
    buf_printf(out, "usage: olho %s [--flag...] %s\n\n%s\n\n", command->name,
               command->usage, command->help);
    add_flags(command, out);
    buf_add_text(out, "\nEvery setting is a flag too (--model DIR, --top-k 5): "
                      "`olho config --help`.\n");
}

bool command_is_group(const char *word)
{
    size_t len = strlen(word);
    int i;

    for (i = 0; i < command_count; i++)
        if (len > 0 && strncmp(commands[i].name, word, len) == 0 &&
            commands[i].name[len] == ' ')
            return true;
    return false;
}

/* The commands that begin with group and a space; NULL: all. */
static void add_commands(const char *group, struct buf *out)
{
    size_t len = group != NULL ? strlen(group) : 0;
    char left[80];
    int i;

    for (i = 0; i < command_count; i++) {
        const char *name = commands[i].name;

        if (group != NULL &&
            (strncmp(name, group, len) != 0 || name[len] != ' '))
            continue;
        snprintf(left, sizeof left, "%s %s", name, commands[i].usage);
        buf_printf(out, "  %-40s %s\n", left, commands[i].help);
    }
}

void command_help_group(const char *group, struct buf *out)
{
    buf_printf(out, "usage: olho %s COMMAND [--flag...] [WORD...]\n\n", group);
    add_commands(group, out);
}

void command_help_all(struct buf *out)
{
    buf_add_text(out, "olho recognises images: it classifies them, finds "
                      "similar ones and serves both over HTTP.\n\n"
                      "usage: olho COMMAND [--flag...] [WORD...]\n\n");
    add_commands(NULL, out);
    buf_add_text(out, "\n`olho COMMAND --help` says more; `olho config --help` "
                      "lists the settings.\n");
}
