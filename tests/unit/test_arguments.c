/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "cmd/command.h"
#include "test.h"

enum { WORDS_MAX = 8 };

/* Reads a command line of up to WORDS_MAX words, ended by NULL. */
static int read_line(struct arguments *arguments, struct err *err,
                     const char *const words[WORDS_MAX])
{
    const char *argv[WORDS_MAX];
    int argc = 0;

    while (argc < WORDS_MAX && words[argc] != NULL) {
        argv[argc] = words[argc];
        argc++;
    }
    return arguments_read(arguments, argc, argv, err);
}

TEST(arguments_tell_commands_flags_and_words_apart)
{
    struct arguments arguments;
    struct err err = {0};

    CHECK_OK(read_line(&arguments, &err,
                       (const char *const[WORDS_MAX]){
                           "classify", "a.jpg", "--json", "--top-k=5",
                           "--log-level", "debug", "--", "--b.jpg"}),
             err);
    CHECK_TEXT(arguments.command->name, "classify");
    CHECK_INT(arguments.word_count, 2);
    CHECK_TEXT(arguments.words[0], "a.jpg");
    CHECK_TEXT(arguments.words[1], "--b.jpg");
    CHECK_TEXT(arguments_flag(&arguments, "json"), "");
    CHECK_INT(arguments.config.top_k, 5);
    CHECK_INT(arguments.config.log_level, 0);
    arguments_release(&arguments);
}

TEST(arguments_know_commands_of_two_words)
{
    struct arguments arguments;
    struct err err = {0};

    CHECK_OK(read_line(&arguments, &err,
                       (const char *const[WORDS_MAX]){"index", "add", "dir",
                                                      "--label", "red"}),
             err);
    CHECK_TEXT(arguments.command->name, "index add");
    CHECK_TEXT(arguments_flag(&arguments, "label"), "red");
    CHECK(arguments_flag(&arguments, "label-from-folder") == NULL);
    arguments_release(&arguments);
}

TEST(arguments_give_a_flag_as_often_as_it_was_given)
{
    struct arguments arguments;
    struct err err = {0};
    int at = 0;

    CHECK_OK(read_line(&arguments, &err,
                       (const char *const[WORDS_MAX]){"index", "remove", "--id",
                                                      "7", "--key=a", "--id=9",
                                                      "--id", ""}),
             err);
    CHECK_TEXT(arguments_next(&arguments, "id", &at), "7");
    CHECK_TEXT(arguments_next(&arguments, "id", &at), "9");
    CHECK_TEXT(arguments_next(&arguments, "id", &at), "");
    CHECK(arguments_next(&arguments, "id", &at) == NULL);
    CHECK(arguments_next(&arguments, "id", &at) == NULL);
    CHECK_TEXT(arguments_flag(&arguments, "key"), "a");
    CHECK_TEXT(arguments_flag(&arguments, "id"), "");
    CHECK(arguments_flag(&arguments, "where") == NULL);
    arguments_release(&arguments);
}

TEST(arguments_take_the_flag_over_the_environment)
{
    struct arguments arguments;
    struct err err = {0};

    setenv("TOP_K", "7", 1);
    CHECK_OK(read_line(&arguments, &err,
                       (const char *const[WORDS_MAX]){"classify", "a"}),
             err);
    CHECK_INT(arguments.config.top_k, 7);
    arguments_release(&arguments);
    CHECK_OK(
        read_line(&arguments, &err,
                  (const char *const[WORDS_MAX]){"classify", "a", "--top-k=2"}),
        err);
    unsetenv("TOP_K");
    CHECK_INT(arguments.config.top_k, 2);
    arguments_release(&arguments);
}

TEST(arguments_say_what_is_wrong_and_what_is_near)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *part;
    } cases[] = {
        {{"clasify", "x"}, "\"classify\""},
        {{"frobnicate"}, "frobnicate"},
        {{"classify", "x", "--jsn"}, "--json"},
        {{"classify", "x", "-j"}, "-j"},
        {{"classify", "x", "--top-k"}, "--top-k needs a value"},
        {{"classify", "x", "--top-k=0"}, "TOP_K"},
        {{"classify"}, "usage"},
        {{"serve", "extra"}, "usage"},
        {{"serve", "--image-side-min=200", "--image-side-max=100"},
         "IMAGE_SIDE_MIN is 200"},
    };
    struct arguments arguments;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        CHECK_ERR(read_line(&arguments, &err, cases[i].words), ERR_INVALID);
        CHECK_HAS(err.text, cases[i].part);
        arguments_release(&arguments);
    }
}

TEST(commands_have_help_that_fits_a_line)
{
    struct buf text;
    int i;

    buf_init(&text, 1 << 20);
    for (i = 0; i < command_count; i++) {
        CHECK(commands[i].help != NULL && commands[i].run != NULL);
        buf_clear(&text);
        command_help(&commands[i], &text);
        CHECK_HAS(text.data, commands[i].name);
    }
    buf_release(&text);
}
