/* SPDX-License-Identifier: Apache-2.0 */
/* A pickle is a program for a machine with a stack and a memo (Python's
 * pickletools.py says what each instruction does). Here the machine has the
 * instructions, the few globals and the kinds of values that an array of
 * texts needs. Globals are tokens: REDUCE of one is a case of a switch.
 *
 * An instruction adds at most one value to the stack or memo, or copies those
 * above a mark, so that memory is bounded by the length of the file. */
#include "vectors/npy_pickle.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/npy_machine.h"

enum { WORD_MAX = 64, PROTOCOL_MIN = 2, PROTOCOL_MAX = 5 };

static const char *const kind_names[] = {
    [A_MARK] = "mark",       [A_NONE] = "None",      [A_TRUTH] = "bool",
    [A_NUMBER] = "int",      [A_TEXT] = "str",       [A_BLOCK] = "bytes",
    [A_TUPLE] = "tuple",     [A_LIST] = "list",      [A_GLOBAL] = "global",
    [A_TYPE] = "numpy type", [AN_ARRAY] = "ndarray",
};

static const struct {
    const char *module, *name;
    enum global global;
} globals[] = {
    {"numpy.core.multiarray", "_reconstruct", RECONSTRUCT},
    {"numpy._core.multiarray", "_reconstruct", RECONSTRUCT},
    {"numpy", "ndarray", NDARRAY},
    {"numpy", "dtype", DTYPE},
    {"numpy.core.multiarray", "scalar", SCALAR},
    {"numpy._core.multiarray", "scalar", SCALAR},
    {"_codecs", "encode", ENCODE},
};

int npy_broken(const struct machine *machine, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the pickle is damaged at byte %zu",
                   machine->begin);
}

int npy_push(struct values *to, const struct value *value, struct err *err)
{
    if (to->count == to->cap) {
        size_t cap = to->cap == 0 ? 64 : 2 * to->cap;
        struct value *values = mem_resize(to->values, cap, sizeof *values);

        if (values == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for a pickle");
        to->values = values;
        to->cap = cap;
    }
    to->values[to->count++] = *value;
    return 0;
}

static int push_number(struct machine *machine, enum kind kind, int64_t number,
                       struct err *err)
{
    return npy_push(&machine->stack,
                    &(struct value){.kind = kind, .number = number}, err);
}

/* The value on top; a mark is none. */
static int pop(struct machine *machine, struct value *out, struct err *err)
{
    struct values *stack = &machine->stack;

    if (stack->count == 0 || stack->values[stack->count - 1].kind == A_MARK)
        return npy_broken(machine, err);
    *out = stack->values[--stack->count];
    return 0;
}

static int read_number(struct machine *machine, int len, uint64_t *out,
                       struct err *err)
{
    uint64_t value = 0;
    int i;

    if (machine->file.len - machine->at < (size_t)len)
        return npy_broken(machine, err);
    for (i = len - 1; i >= 0; i--)
        value = value << 8 | machine->file.data[machine->at + (size_t)i];
    machine->at += (size_t)len;
    *out = value;
    return 0;
}

/* Bytes behind a length of len_len bytes. */
static int read_block(struct machine *machine, int len_len, struct bytes *out,
                      struct err *err)
{
    uint64_t len = 0;
    int rc = read_number(machine, len_len, &len, err);

    if (rc)
        return rc;
    if (len > machine->file.len - machine->at)
        return npy_broken(machine, err);
    *out = (struct bytes){machine->file.data + machine->at, (size_t)len};
    machine->at += (size_t)len;
    return 0;
}

/* --- instructions, each with its own argument from the table ------------ */

static int do_proto(struct machine *machine, int len, struct err *err)
{
    uint64_t version = 0;
    int rc = read_number(machine, len, &version, err);

    if (rc == 0 && (version < PROTOCOL_MIN || version > PROTOCOL_MAX))
        rc = err_set(err, ERR_UNSUPPORTED,
                     "pickle protocol %d is not read; %d to %d are",
                     (int)version, PROTOCOL_MIN, PROTOCOL_MAX);
    return rc;
}

static int do_skip(struct machine *machine, int len, struct err *err)
{
    uint64_t ignored;

    return read_number(machine, len, &ignored, err);
}

static int do_stop(struct machine *machine, int unused, struct err *err)
{
    struct value top = {0};
    int rc = pop(machine, &top, err);

    (void)unused;
    if (rc)
        return rc;
    if (top.kind != AN_ARRAY || !machine->is_built ||
        machine->stack.count != 0 || machine->at != machine->file.len)
        return npy_broken(machine, err);
    machine->is_done = true;
    return 0;
}

static int do_mark(struct machine *machine, int unused, struct err *err)
{
    (void)unused;
    return push_number(machine, A_MARK, 0, err);
}

static int do_none(struct machine *machine, int unused, struct err *err)
{
    (void)unused;
    return push_number(machine, A_NONE, 0, err);
}

static int do_truth(struct machine *machine, int truth, struct err *err)
{
    return push_number(machine, A_TRUTH, truth, err);
}

static int do_number(struct machine *machine, int len, struct err *err)
{
    uint64_t number = 0;
    int rc = read_number(machine, len, &number, err);

    if (rc)
        return rc;
    return push_number(machine, A_NUMBER,
                       len == 4 ? (int32_t)number : (int64_t)number, err);
}

/* LONG1: two's complement of up to eight bytes. */
static int do_long(struct machine *machine, int len_len, struct err *err)
{
    struct bytes block = {0};
    uint64_t number = 0;
    int rc = read_block(machine, len_len, &block, err);
    size_t i;

    if (rc)
        return rc;
    if (block.len > 8)
        return err_set(err, ERR_INVALID, "an int of %zu bytes at byte %zu",
                       block.len, machine->begin);
    if (block.len > 0 && block.data[block.len - 1] & 0x80)
        number = UINT64_MAX;
    for (i = block.len; i-- > 0;)
        number = number << 8 | block.data[i];
    return push_number(machine, A_NUMBER, (int64_t)number, err);
}

static int do_text(struct machine *machine, int len_len, struct err *err)
{
    struct value value = {.kind = A_TEXT};
    struct bytes block = {0};
    int rc = read_block(machine, len_len, &block, err);

    if (rc == 0)
        rc = npy_pool_utf8(machine->pool, block, &value.number, err);
    return rc ? rc : npy_push(&machine->stack, &value, err);
}

static int do_block(struct machine *machine, int len_len, struct err *err)
{
    struct value value = {.kind = A_BLOCK};
    struct bytes block = {0};
    int rc = read_block(machine, len_len, &block, err);

    if (rc)
        return rc;
    value.begin = (size_t)(block.data - machine->file.data);
    value.count = block.len;
    return npy_push(&machine->stack, &value, err);
}

static int push_global(struct machine *machine, const char *module,
                       const char *name, struct err *err)
{
    size_t i;

    for (i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (strcmp(globals[i].module, module) == 0 &&
            strcmp(globals[i].name, name) == 0)
            return push_number(machine, A_GLOBAL, globals[i].global, err);
    return err_set(err, ERR_INVALID,
                   "the pickle asks for %.80s.%.80s; only an array of texts is "
                   "read, and nothing is executed",
                   module, name);
}

const char *npy_text_of(const struct machine *machine,
                        const struct value *value)
{
    return value->number == NPY_POOL_EMPTY
               ? ""
               : machine->pool->bytes.data + value->number;
}

static int do_stack_global(struct machine *machine, int unused, struct err *err)
{
    struct value module = {0}, name = {0};
    int rc = pop(machine, &name, err);

    (void)unused;
    if (rc == 0)
        rc = pop(machine, &module, err);
    if (rc)
        return rc;
    if (module.kind != A_TEXT || name.kind != A_TEXT)
        return npy_broken(machine, err);
    return push_global(machine, npy_text_of(machine, &module),
                       npy_text_of(machine, &name), err);
}

/* A line up to '\n', cut to what a message shows. */
static int read_line(struct machine *machine, char out[WORD_MAX],
                     struct err *err)
{
    const uint8_t *begin = machine->file.data + machine->at;
    const uint8_t *end = memchr(begin, '\n', machine->file.len - machine->at);
    size_t len;

    if (end == NULL)
        return npy_broken(machine, err);
    len = (size_t)(end - begin);
    machine->at += len + 1;
    len = len < WORD_MAX ? len : WORD_MAX - 1;
    memcpy(out, begin, len);
    out[len] = '\0';
    return 0;
}

static int do_global(struct machine *machine, int unused, struct err *err)
{
    char module[WORD_MAX], name[WORD_MAX];
    int rc = read_line(machine, module, err);

    (void)unused;
    if (rc == 0)
        rc = read_line(machine, name, err);
    return rc ? rc : push_global(machine, module, name, err);
}

/* The top `count` values of the stack become a tuple. */
static int make_tuple(struct machine *machine, size_t count, struct err *err)
{
    struct values *stack = &machine->stack;
    struct value tuple = {A_TUPLE, 0, machine->items.count, count};
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = npy_push(&machine->items, &stack->values[stack->count - count + i],
                      err);
    if (rc)
        return rc;
    stack->count -= count;
    return npy_push(stack, &tuple, err);
}

static int do_short_tuple(struct machine *machine, int count, struct err *err)
{
    const struct values *stack = &machine->stack;
    size_t i;

    if (stack->count < (size_t)count)
        return npy_broken(machine, err);
    for (i = 1; i <= (size_t)count; i++)
        if (stack->values[stack->count - i].kind == A_MARK)
            return npy_broken(machine, err);
    return make_tuple(machine, (size_t)count, err);
}

/* The number of values above the topmost mark. */
static int count_above_mark(const struct machine *machine, size_t *out,
                            struct err *err)
{
    const struct values *stack = &machine->stack;
    size_t i = stack->count;

    while (i > 0 && stack->values[i - 1].kind != A_MARK)
        i--;
    if (i == 0)
        return npy_broken(machine, err);
    *out = stack->count - i;
    return 0;
}

static int do_tuple(struct machine *machine, int unused, struct err *err)
{
    struct value tuple = {0};
    size_t count = 0;
    int rc = count_above_mark(machine, &count, err);

    (void)unused;
    if (rc == 0)
        rc = make_tuple(machine, count, err);
    if (rc == 0)
        rc = pop(machine, &tuple, err);
    if (rc)
        return rc;
    machine->stack.count--;
    return npy_push(&machine->stack, &tuple, err);
}

static int do_list(struct machine *machine, int unused, struct err *err)
{
    (void)unused;
    if (machine->has_list)
        return err_set(err, ERR_INVALID,
                       "the array holds a list at byte %zu; only texts are "
                       "read",
                       machine->begin);
    machine->has_list = true;
    return push_number(machine, A_LIST, 0, err);
}

/* Only texts and None ever get into the list, and straight into the pool. */
static int append(struct machine *machine, const struct value *value,
                  struct err *err)
{
    if (value->kind == A_NONE)
        return npy_pool_add(machine->pool, NPY_POOL_EMPTY, err);
    if (value->kind != A_TEXT)
        return err_set(err, ERR_INVALID,
                       "value %" PRId64 " is of type %s; only str and None "
                       "are read",
                       machine->pool->count, kind_names[value->kind]);
    return npy_pool_add(machine->pool, value->number, err);
}

static int check_list(struct machine *machine, struct err *err)
{
    const struct values *stack = &machine->stack;

    if (stack->count == 0 || stack->values[stack->count - 1].kind != A_LIST ||
        machine->is_built)
        return npy_broken(machine, err);
    return 0;
}

static int do_append(struct machine *machine, int unused, struct err *err)
{
    struct value value = {0};
    int rc = pop(machine, &value, err);

    (void)unused;
    if (rc == 0)
        rc = check_list(machine, err);
    return rc ? rc : append(machine, &value, err);
}

static int do_appends(struct machine *machine, int unused, struct err *err)
{
    struct values *stack = &machine->stack;
    size_t count = 0, i, begin;
    int rc = count_above_mark(machine, &count, err);

    (void)unused;
    if (rc)
        return rc;
    begin = stack->count - count;
    stack->count = begin - 1;
    rc = check_list(machine, err);
    for (i = 0; rc == 0 && i < count; i++)
        rc = append(machine, &stack->values[begin + i], err);
    return rc;
}

static int do_memoize(struct machine *machine, int len, struct err *err)
{
    const struct values *stack = &machine->stack;
    uint64_t place = machine->memo.count;
    struct value top = {0};
    int rc = 0;

    if (len > 0)
        rc = read_number(machine, len, &place, err);
    if (rc)
        return rc;
    if (stack->count == 0 || place > machine->memo.count)
        return npy_broken(machine, err);
    top = stack->values[stack->count - 1];
    if (top.kind == A_MARK)
        return npy_broken(machine, err);
    if (place == machine->memo.count)
        return npy_push(&machine->memo, &top, err);
    machine->memo.values[place] = top;
    return 0;
}

static int do_get(struct machine *machine, int len, struct err *err)
{
    uint64_t place = 0;
    struct value value = {0};
    int rc = read_number(machine, len, &place, err);

    if (rc)
        return rc;
    if (place >= machine->memo.count)
        return npy_broken(machine, err);
    value = machine->memo.values[place];
    return npy_push(&machine->stack, &value, err);
}

static int do_reduce(struct machine *machine, int unused, struct err *err)
{
    struct value tuple = {0}, callee = {0};
    int rc = pop(machine, &tuple, err);

    (void)unused;
    if (rc == 0)
        rc = pop(machine, &callee, err);
    if (rc)
        return rc;
    if (tuple.kind != A_TUPLE || callee.kind != A_GLOBAL)
        return npy_broken(machine, err);
    return npy_call(machine, (enum global)callee.number, &tuple, err);
}

static int do_build(struct machine *machine, int unused, struct err *err)
{
    struct value tuple = {0};
    int rc = pop(machine, &tuple, err);

    (void)unused;
    if (rc)
        return rc;
    if (tuple.kind != A_TUPLE)
        return npy_broken(machine, err);
    return npy_set_state(machine, &tuple, err);
}

/* clang-format off */
static const struct {
    uint8_t code;
    const char *name;
    int (*run)(struct machine *machine, int argument, struct err *err);
    int argument;
} instructions[] = {
    {0x80, "PROTO", do_proto, 1},       {0x95, "FRAME", do_skip, 8},
    {'.', "STOP", do_stop, 0},          {'(', "MARK", do_mark, 0},
    {'N', "NONE", do_none, 0},          {0x88, "NEWTRUE", do_truth, 1},
    {0x89, "NEWFALSE", do_truth, 0},    {'J', "BININT", do_number, 4},
    {'K', "BININT1", do_number, 1},     {'M', "BININT2", do_number, 2},
    {0x8a, "LONG1", do_long, 1},        {0x8c, "SHORT_BINUNICODE", do_text, 1},
    {'X', "BINUNICODE", do_text, 4},    {0x8d, "BINUNICODE8", do_text, 8},
    {'C', "SHORT_BINBYTES", do_block, 1}, {'B', "BINBYTES", do_block, 4},
    {0x8e, "BINBYTES8", do_block, 8},   {'c', "GLOBAL", do_global, 0},
    {0x93, "STACK_GLOBAL", do_stack_global, 0},
    {')', "EMPTY_TUPLE", do_short_tuple, 0}, {'t', "TUPLE", do_tuple, 0},
    {0x85, "TUPLE1", do_short_tuple, 1}, {0x86, "TUPLE2", do_short_tuple, 2},
    {0x87, "TUPLE3", do_short_tuple, 3}, {']', "EMPTY_LIST", do_list, 0},
    {'a', "APPEND", do_append, 0},      {'e', "APPENDS", do_appends, 0},
    {0x94, "MEMOIZE", do_memoize, 0},   {'q', "BINPUT", do_memoize, 1},
    {'r', "LONG_BINPUT", do_memoize, 4}, {'h', "BINGET", do_get, 1},
    {'j', "LONG_BINGET", do_get, 4},    {'R', "REDUCE", do_reduce, 0},
    {'b', "BUILD", do_build, 0},
    /* Known by name, and refused. */
    {'i', "INST", NULL, 0},             {'o', "OBJ", NULL, 0},
    {0x81, "NEWOBJ", NULL, 0},          {0x92, "NEWOBJ_EX", NULL, 0},
    {0x82, "EXT1", NULL, 0},            {0x83, "EXT2", NULL, 0},
    {0x84, "EXT4", NULL, 0},            {'P', "PERSID", NULL, 0},
    {'Q', "BINPERSID", NULL, 0},        {'0', "POP", NULL, 0},
    {'1', "POP_MARK", NULL, 0},         {'2', "DUP", NULL, 0},
    {'d', "DICT", NULL, 0},             {'}', "EMPTY_DICT", NULL, 0},
    {'s', "SETITEM", NULL, 0},          {'u', "SETITEMS", NULL, 0},
    {'F', "FLOAT", NULL, 0},            {'G', "BINFLOAT", NULL, 0},
    {'I', "INT", NULL, 0},              {'L', "LONG", NULL, 0},
    {0x8b, "LONG4", NULL, 0},           {'S', "STRING", NULL, 0},
    {'T', "BINSTRING", NULL, 0},        {'U', "SHORT_BINSTRING", NULL, 0},
    {'V', "UNICODE", NULL, 0},          {'l', "LIST", NULL, 0},
    {'g', "GET", NULL, 0},              {'p', "PUT", NULL, 0},
    {0x8f, "EMPTY_SET", NULL, 0},       {0x90, "ADDITEMS", NULL, 0},
    {0x91, "FROZENSET", NULL, 0},       {0x96, "BYTEARRAY8", NULL, 0},
    {0x97, "NEXT_BUFFER", NULL, 0},     {0x98, "READONLY_BUFFER", NULL, 0},
};
/* clang-format on */

static int run_one(struct machine *machine, struct err *err)
{
    uint8_t code;
    size_t i;

    machine->begin = machine->at;
    if (machine->at == machine->file.len)
        return err_set(err, ERR_CORRUPT, "the pickle is cut at byte %zu",
                       machine->at);
    code = machine->file.data[machine->at++];
    for (i = 0; i < sizeof instructions / sizeof instructions[0]; i++) {
        if (instructions[i].code != code)
            continue;
        if (instructions[i].run != NULL)
            return instructions[i].run(machine, instructions[i].argument, err);
        return err_set(err, ERR_INVALID,
                       "the pickle has the instruction %s at byte %zu; only "
                       "an array of texts is read, and nothing is executed",
                       instructions[i].name, machine->begin);
    }
    return err_set(err, ERR_CORRUPT,
                   "the pickle has an unknown instruction 0x%02x at byte %zu",
                   code, machine->begin);
}

int npy_pickle_read(struct bytes pickle, int64_t count, struct npy_pool *pool,
                    struct err *err)
{
    struct machine machine = {.file = pickle, .pool = pool};
    int rc = 0;

    while (rc == 0 && !machine.is_done)
        rc = run_one(&machine, err);
    if (rc == 0 && pool->count != count)
        rc = err_set(err, ERR_CORRUPT,
                     "the header tells of %" PRId64
                     " values; there are %" PRId64,
                     count, pool->count);
    mem_free(machine.stack.values);
    mem_free(machine.memo.values);
    mem_free(machine.items.values);
    mem_free(machine.types);
    return rc;
}
